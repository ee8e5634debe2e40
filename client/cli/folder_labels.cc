#include "client/cli/folder_labels.h"

#include <algorithm>

namespace proad::client {

std::optional<FolderLabel> LabelOf(const std::filesystem::path& image, bool loose) {
  const std::filesystem::path folder =
      std::filesystem::absolute(image).lexically_normal().parent_path();
  const std::filesystem::path above = folder.parent_path();
  const bool anomalous = folder.filename() != "good";
  if (above.filename() == "test") {
    return FolderLabel{above.parent_path().filename().string(), anomalous};
  }
  if (!loose || above.filename() == "train" || folder.filename() == "train") return std::nullopt;
  return FolderLabel{above.filename().string(), anomalous};
}

std::optional<double> Auroc(const std::vector<LabelledScore>& scores) {
  std::vector<double> good, bad;
  for (const LabelledScore& one : scores) (one.label.anomalous ? bad : good).push_back(one.score);
  if (good.empty() || bad.empty()) return std::nullopt;
  std::sort(good.begin(), good.end());
  double wins = 0;
  for (const double score : bad) {
    const auto [below, above] = std::equal_range(good.begin(), good.end(), score);
    wins += static_cast<double>(below - good.begin()) + 0.5 * static_cast<double>(above - below);
  }
  return wins / (static_cast<double>(good.size()) * static_cast<double>(bad.size()));
}

AurocReport MakeAurocReport(const std::vector<LabelledScore>& scores) {
  std::map<std::string, std::vector<LabelledScore>> by_category;
  for (const LabelledScore& one : scores) by_category[one.label.category].push_back(one);
  AurocReport report;
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
