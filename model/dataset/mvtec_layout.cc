// MVTec-AD, and VisA rearranged in the same way: CATEGORY/train/good, CATEGORY/test/DEFECT and
// CATEGORY/ground_truth/DEFECT.
#include "model/dataset/category_folder.h"
#include "model/dataset/dataset_layout.h"

namespace proad::model {
namespace {

// `base`: the folder of the categories.
DatasetLayout OpenBelow(DatasetRoot& root, const std::string& base) {
  return {.categories = root.List(base).folders,
          .read = [&root, base](const std::string& category, std::vector<Sample>& samples) {
            ReadCategoryFolder(root, JoinNames(base, category), category, false, samples);
          }};
}

}  // namespace

DatasetLayout OpenMvtecLayout(const DatasetEntry& entry) { return OpenBelow(entry.root, ""); }

DatasetLayout OpenVisa1clsLayout(const DatasetEntry& entry) {
  const bool nested = entry.root.List("").HasFolder(kVisa1clsFolder);
  return OpenBelow(entry.root, nested ? kVisa1clsFolder : "");
}

}  // namespace proad::model
