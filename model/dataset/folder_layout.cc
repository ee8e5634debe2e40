// Plain folders: good images in one folder, or in one folder for each category, optionally with
// test and ground_truth as in MVTec-AD.
#include <algorithm>
#include <array>
#include <string_view>

#include "model/dataset/category_folder.h"
#include "model/dataset/dataset_layout.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// Refuses folders whose names mean good or defective: as categories, the defects would be trained
// on.
void RefuseVerdictNames(const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 14> kVerdicts = {
      "good",    "bad",       "ok",        "ng",     "nok",     "normal",    "abnormal",
      "anomaly", "anomalous", "anomalies", "defect", "defects", "defective", "damaged"};
  for (const std::string& name : names) {
    if (std::find(kVerdicts.begin(), kVerdicts.end(), ToLowerAscii(name)) != kVerdicts.end()) {
      RefuseDataset("DATASET_LAYOUT",
                    "the folder " + Quote(name) +
                        " cannot be a category; put good images into train/good and "
                        "test/good, and defective images into test/DEFECT");
    }
  }
}

}  // namespace

DatasetLayout OpenFolderLayout(const DatasetEntry& entry) {
  DatasetRoot& root = entry.root;
  const DatasetRoot::Listing listing = root.List("");
  const bool single =
      listing.HasImages() || listing.HasFolder("train") || listing.HasFolder("test");
  if (!single) RefuseVerdictNames(listing.folders);
  return {.categories =
              single ? std::vector<std::string>{root.path().filename().string()} : listing.folders,
          .read = [&root, single](const std::string& category, std::vector<Sample>& samples) {
            ReadCategoryFolder(root, single ? "" : category, category, true, samples);
          }};
}

}  // namespace proad::model
