#include "client/cli/folder_labels.h"

#include <algorithm>

#include "client/cli/label_words.h"

namespace proad::client {
namespace {

FolderMeaning MeaningOf(const std::string& folder) {
  switch (ReadLabelWord(folder)) {
    case LabelWord::kGood:
      return FolderMeaning::kGood;
    case LabelWord::kAmbiguous:
      return FolderMeaning::kAmbiguous;
    default:
      return FolderMeaning::kDefective;  // a word for defective parts, or the name of a defect
  }
}

bool IsNamed(const std::filesystem::path& folder, FolderRole role) {
  return ReadFolderRole(folder.filename().string()) == role;
}

}  // namespace

std::optional<FolderLabel> LabelOf(const std::filesystem::path& image, bool loose) {
  const std::filesystem::path folder =
      std::filesystem::absolute(image).lexically_normal().parent_path();
  const std::filesystem::path above = folder.parent_path();
  const std::string name = folder.filename().string();
  if (IsNamed(above, FolderRole::kTest)) {
    return FolderLabel{above.parent_path().filename().string(), name, MeaningOf(name)};
  }
  if (!loose || IsNamed(above, FolderRole::kTrain) || IsNamed(folder, FolderRole::kTrain))
    return std::nullopt;
  return FolderLabel{above.filename().string(), name, MeaningOf(name)};
}

std::optional<double> Auroc(const std::vector<LabelledScore>& scores) {
  std::vector<double> good, defective;
  for (const LabelledScore& one : scores) {
    if (one.label.meaning == FolderMeaning::kGood) good.push_back(one.score);
    if (one.label.meaning == FolderMeaning::kDefective) defective.push_back(one.score);
  }
  if (good.empty() || defective.empty()) return std::nullopt;
  std::sort(good.begin(), good.end());
  double wins = 0;
  for (const double score : defective) {
    const auto [below, above] = std::equal_range(good.begin(), good.end(), score);
    wins += static_cast<double>(below - good.begin()) + 0.5 * static_cast<double>(above - below);
  }
  return wins / (static_cast<double>(good.size()) * static_cast<double>(defective.size()));
}

AurocReport MakeAurocReport(const std::vector<LabelledScore>& scores) {
  AurocReport report;
  std::map<std::string, std::vector<LabelledScore>> by_category;
  for (const LabelledScore& one : scores) {
    report.folders[one.label.meaning].insert(one.label.folder);
    if (one.label.meaning == FolderMeaning::kAmbiguous) continue;
    by_category[one.label.category].push_back(one);
  }
  double sum = 0;
  int counted = 0;
  for (const auto& [category, of_category] : by_category) {
    const std::optional<double> auroc = Auroc(of_category);
    report.categories[category] = {of_category.size(), auroc};
    if (!auroc) continue;
    sum += *auroc;
    ++counted;
  }
  if (counted > 0) report.mean = sum / counted;
  return report;
}

}  // namespace proad::client
