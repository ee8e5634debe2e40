// How well scores tell good pictures from bad ones, where folder names say which is which. Pure
// functions.
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

// The MVTec layout: CATEGORY/test/good/x.png is good, CATEGORY/test/ANYTHING_ELSE/x.png is not.
// `loose` takes CATEGORY/good/x.png and CATEGORY/ANYTHING_ELSE/x.png as well. nullopt: the folders
// do not say. Training pictures never have a label: they would flatter the figure.
std::optional<FolderLabel> LabelOf(const std::filesystem::path& picture, bool loose);

struct LabelledScore {
  FolderLabel label;
  double score = 0;
};

// The probability that a bad picture scores higher than a good one, ties counted half; nullopt
// unless there are both.
std::optional<double> Auroc(const std::vector<LabelledScore>& scores);

struct AurocReport {
  struct Category {
    size_t pictures = 0;
    std::optional<double> auroc;  // nullopt: only good or only bad pictures
  };
  std::map<std::string, Category> categories;
  // Over the categories that have one; nullopt when none has.
  std::optional<double> mean;
};

AurocReport MakeAurocReport(const std::vector<LabelledScore>& scores);

}  // namespace proad::client
