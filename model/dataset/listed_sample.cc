#include "model/dataset/listed_sample.h"

#include "model/dataset/label_reading.h"
#include "model/dataset/label_words.h"
#include "model/files/text.h"

namespace proad::model {

std::string ParseLabel(const std::string& label, const std::string& where) {
  const size_t first = label.find_first_not_of(" \t");
  if (NormalizeLabel(label).empty()) {
    RefuseDataset("CSV_LABEL", where + ": the label " + Quote(label) +
                                   " has no word; write \"good\" or the kind of defect");
  }
  const LabelWord meaning = ReadLabelWord(label);
  if (meaning == LabelWord::kGood) return "";
  if (meaning == LabelWord::kAmbiguous) {
    RefuseDataset("CSV_LABEL",
                  where + ": the label " + Quote(label) + " is ambiguous: " + BothReadings(label));
  }
  return label.substr(first, label.find_last_not_of(" \t") - first + 1);
}

Split ParseSplit(const std::string& text, const std::string& where) {
  const FolderRole role = ReadFolderRole(text);
  if (role == FolderRole::kTrain) return Split::kTrain;
  if (role == FolderRole::kTest) return Split::kTest;
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
                .mask = std::nullopt,
                .label = listed.label};
  if (!IsImageName(sample.name)) {
    RefuseDataset("DATASET_NOT_A_PICTURE",
                  listed.where + ": " + Quote(sample.name) +
                      " is not the name of a PNG, JPEG, BMP, TIFF or WebP file");
  }
  if (!listed.mask.empty()) sample.mask = root.Resolve(listed.mask, listed.where + " (mask)");
  return sample;
}

}  // namespace proad::model
