// Plain folders: good images in one folder, or in one folder for each category, optionally with
// test and ground_truth as in MVTec-AD.
#include <algorithm>
#include <string>
#include <vector>

#include "model/dataset/category_folder.h"
#include "model/dataset/dataset_layout.h"
#include "model/dataset/label_reading.h"
#include "model/dataset/label_words.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

bool IsClassNumber(const std::string& name) {
  const std::string normalized = NormalizeLabel(name);
  return normalized == "0" || normalized == "1";
}

// Refuses folders whose names are labels or roles: as categories, the defects or the masks would be
// trained on. Products may have numbers, but 0 and 1 alone are classes.
void RefuseLabels(const std::vector<std::string>& names) {
  const bool classes = names.size() == 2 && std::all_of(names.begin(), names.end(), IsClassNumber);
  for (const std::string& name : names) {
    const LabelWord meaning = ReadLabelWord(name);
    if (ReadFolderRole(name) == FolderRole::kMasks) {
      RefuseDataset("DATASET_LAYOUT", "the folder " + Quote(name) +
                                          " is named for masks and cannot be a category; put "
                                          "masks into ground_truth/DEFECT");
    }
    const bool number = IsClassNumber(name);
    if (meaning == LabelWord::kOther || (number && !classes)) continue;
    const std::string read = meaning == LabelWord::kGood ? " is a label for good parts"
                             : meaning == LabelWord::kDefective
                                 ? " is a label for defective parts"
                                 : " is an ambiguous label (" + BothReadings(name) + ")";
    RefuseDataset("DATASET_LAYOUT",
                  "the folder " + Quote(name) + read +
                      " and cannot be a category; put good images into train/good and "
                      "test/good, and defective images into test/DEFECT; if it is the name of a "
                      "product, put its images into " +
                      Quote(name + "/train/good"));
  }
}

}  // namespace

DatasetLayout OpenFolderLayout(const DatasetEntry& entry) {
  DatasetRoot& root = entry.root;
  const DatasetRoot::Listing listing = root.List("");
  const bool single =
      listing.HasImages() ||
      std::any_of(listing.folders.begin(), listing.folders.end(), [](const std::string& name) {
        const FolderRole role = ReadFolderRole(name);
        return role == FolderRole::kTrain || role == FolderRole::kTest;
      });
  if (!single) RefuseLabels(listing.folders);
  return {.categories =
              single ? std::vector<std::string>{root.path().filename().string()} : listing.folders,
          .read = [&root, single](const std::string& category, std::vector<Sample>& samples) {
            ReadCategoryFolder(root, single ? "" : category, category, true, samples);
          }};
}

}  // namespace proad::model
