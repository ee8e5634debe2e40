// Labels from folder names, and the AUROC of scores with such labels. Pure functions.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace proad::client {

struct FolderLabel {
  std::string category;
  bool anomalous = false;
};

// Returns the label of an image in the layout of MVTec-AD: CATEGORY/test/good/x.png is good,
// CATEGORY/test/OTHER/x.png is defective. With `loose`, also CATEGORY/good/x.png and
// CATEGORY/OTHER/x.png. nullopt when the folders are no label. Training images have no label, because
// they would raise the AUROC.
std::optional<FolderLabel> LabelOf(const std::filesystem::path& image, bool loose);

struct LabelledScore {
  FolderLabel label;
  double score = 0;
};

// Returns the probability that a defective image has a higher score than a good one; ties count half.
// nullopt without images of both kinds.
std::optional<double> Auroc(const std::vector<LabelledScore>& scores);

struct AurocReport {
  struct Category {
    size_t images = 0;
    std::optional<double> auroc;  // nullopt: only good or only defective images
  };
  std::map<std::string, Category> categories;
  // Mean over the categories with an AUROC; nullopt without any.
  std::optional<double> mean;
};

AurocReport MakeAurocReport(const std::vector<LabelledScore>& scores);

}  // namespace proad::client
