// Labels from folder names, and the AUROC of scores with such labels. Pure functions.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace proad::client {

enum class FolderMeaning {
  kGood,
  kDefective,
  kAmbiguous,  // the word is in use for good and for defective parts
};

struct FolderLabel {
  std::string category;
  std::string folder;  // name of the folder, as it is
  FolderMeaning meaning = FolderMeaning::kGood;
};

// Returns the label of an image in the layout of MVTec-AD, CATEGORY/test/LABEL/x.png. A label is good
// if it is a word for good parts (client/cli/label_words.h), ambiguous if it is an ambiguous word, and
// defective otherwise. With `loose`, also labels images in the layout CATEGORY/LABEL/x.png. nullopt
// when the folders are no label. Training images have no label, because they would raise the AUROC.
std::optional<FolderLabel> LabelOf(const std::filesystem::path& image, bool loose);

struct LabelledScore {
  FolderLabel label;
  double score = 0;
};

// Returns the probability that a defective image has a higher score than a good one; ties count half.
// Ignores ambiguous labels. nullopt without images of both kinds.
std::optional<double> Auroc(const std::vector<LabelledScore>& scores);

struct AurocReport {
  struct Category {
    size_t images = 0;
    std::optional<double> auroc;  // nullopt: only good or only defective images
  };
  std::map<std::string, Category> categories;
  // Mean over the categories with an AUROC; nullopt without any.
  std::optional<double> mean;
  // Names of the folders by their meaning.
  std::map<FolderMeaning, std::set<std::string>> folders;
};

AurocReport MakeAurocReport(const std::vector<LabelledScore>& scores);

}  // namespace proad::client
