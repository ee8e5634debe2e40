#include "model/dataset/listed_sample.h"

#include "model/files/text.h"

namespace proad::model {

Split ParseSplit(const std::string& text, const std::string& where) {
  if (text == "train") return Split::kTrain;
  if (text == "test") return Split::kTest;
  RefuseDataset("DATASET_SPLIT",
                where + ": the split " + Quote(text) + " is neither \"train\" nor \"test\"");
}

Sample MakeSample(const DatasetRoot& root, const ListedSample& listed) {
  const bool good = listed.defect.empty();
  if (!good && listed.split == Split::kTrain) {
    RefuseDataset("TRAIN_NOT_GOOD",
                  listed.where + ": the image " + Quote(listed.image) + " is defective (" +
                      Quote(listed.defect) +
                      "); training uses good images only, so its split must be \"test\"");
  }
  if (listed.image.empty() && !listed.mask.empty()) {
    RefuseDataset("MASK_WITHOUT_PICTURE",
                  listed.where + ": the mask " + Quote(listed.mask) + " has no image");
  }
  if (good && !listed.mask.empty()) {
    RefuseDataset("MASK_OF_GOOD", listed.where + ": the image " + Quote(listed.image) +
                                      " is good but has the mask " + Quote(listed.mask));
  }
  Sample sample{.path = root.Resolve(listed.image, listed.where),
                .name = DatasetRoot::Normal(listed.image),
                .category = listed.category,
                .split = listed.split,
                .good = good,
                .defect = listed.defect,
                .mask = std::nullopt};
  if (!IsImageName(sample.name)) {
    RefuseDataset("DATASET_NOT_A_PICTURE",
                  listed.where + ": " + Quote(sample.name) +
                      " is not the name of a PNG, JPEG, BMP, TIFF or WebP file");
  }
  if (!listed.mask.empty()) sample.mask = root.Resolve(listed.mask, listed.where + " (mask)");
  return sample;
}

}  // namespace proad::model
