#include "model/dataset/category_folder.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/dataset/label_reading.h"
#include "model/dataset/label_words.h"
#include "model/dataset/mask_names.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// The form in which a folder of masks is compared with a folder of defects.
std::string WithoutCase(const std::string& name) {
  const size_t first = name.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return ToLowerAscii(name.substr(first, name.find_last_not_of(' ') - first + 1));
}

[[noreturn]] void RefuseAmbiguous(const std::string& folder, const std::string& label) {
  RefuseDataset("LABEL_AMBIGUOUS", "the name of the folder " + Quote(folder) +
                                       " is ambiguous: " + BothReadings(label));
}

// Whether numbers among `folders`, those of a test split, can only be kinds of defects: another
// folder has a word for good parts, and the numbers are not the classes 0 and 1.
bool NumbersAreDefects(const std::vector<std::string>& folders) {
  bool has_good = false, has_zero = false, has_more = false;
  for (const std::string& folder : folders) {
    const std::string normalized = NormalizeLabel(folder);
    has_good = has_good || ReadLabelWord(folder) == LabelWord::kGood;
    has_zero = has_zero || normalized == "0";
    has_more = has_more || (normalized.find_first_not_of("0123456789") == std::string::npos &&
                            normalized > "1");
  }
  return has_good && (!has_zero || has_more);
}

// The folder of one category. Read is called once.
class CategoryFolder {
 public:
  CategoryFolder(DatasetRoot& root, std::string folder, std::string category, bool loose)
      : root_(root), folder_(std::move(folder)), category_(std::move(category)), loose_(loose) {}

  void Read(std::vector<Sample>& samples) {
    const DatasetRoot::Listing listing = root_.List(folder_);
    const std::map<FolderRole, std::string> roles = FindRoles(listing);
    const auto train = roles.find(FolderRole::kTrain);
    const auto masks = roles.find(FolderRole::kMasks);
    const auto test = roles.find(FolderRole::kTest);
    if (train != roles.end()) {
      ReadTrain(In(train->second), samples);
      RefuseImages(listing, folder_, Quote(In(train->second) + "/good"));
    } else if (loose_) {
      AddGood(folder_, listing.files, Split::kTrain, samples);
    } else {
      RefuseImages(listing, folder_, Quote(In("train/good")));
    }
    if (masks != roles.end()) ReadMasks(In(masks->second));
    if (test != roles.end()) ReadTest(In(test->second), samples);
    if (masks_.empty()) return;
    const std::string& defect = masks_.begin()->first;
    RefuseDataset("MASK_WITHOUT_PICTURE",
                  "the folder " + Quote(JoinNames(mask_folder_, defect)) +
                      " has masks, but there is no folder " +
                      Quote(In(test == roles.end() ? "test" : test->second) + "/" + defect));
  }

 private:
  // Masks by image, both below the root.
  using Masks = std::map<std::string, std::vector<std::string>>;

  std::string In(const std::string& name) const { return JoinNames(folder_, name); }

  std::map<FolderRole, std::string> FindRoles(const DatasetRoot::Listing& listing) const {
    std::map<FolderRole, std::string> roles;
    for (const std::string& name : listing.folders) {
      const FolderRole role = ReadFolderRole(name);
      if (role == FolderRole::kOther || role == FolderRole::kImages) {
        RefuseDataset("DATASET_LAYOUT",
                      "the folder " + Quote(In(name)) + " is none of train, test and ground_truth");
      }
      const auto [found, is_new] = roles.emplace(role, name);
      if (!is_new) {
        RefuseDataset("DATASET_LAYOUT", "the folders " + Quote(In(found->second)) + " and " +
                                            Quote(In(name)) + " mean the same; keep one of them");
      }
    }
    return roles;
  }

  void RefuseImages(const DatasetRoot::Listing& listing, const std::string& folder,
                    const std::string& right) const {
    const auto image = std::find_if(listing.files.begin(), listing.files.end(), IsImageName);
    if (image != listing.files.end()) {
      RefuseDataset("DATASET_LAYOUT", "the image " + Quote(JoinNames(folder, *image)) +
                                          " is in the wrong folder; expected in " + right);
    }
  }

  void ReadTrain(const std::string& train, std::vector<Sample>& samples) {
    const DatasetRoot::Listing listing = root_.List(train);
    for (const std::string& name : listing.folders) {
      const LabelWord meaning = ReadLabelWord(name);
      const std::string folder = JoinNames(train, name);
      if (meaning == LabelWord::kAmbiguous) RefuseAmbiguous(folder, name);
      if (meaning != LabelWord::kGood) {
        RefuseDataset("TRAIN_NOT_GOOD", "the folder " + Quote(folder) +
                                            " is not \"good\": training uses good images only; put "
                                            "defective images into " +
                                            Quote(In("test/" + name)));
      }
      AddGood(folder, root_.ListImages(folder), Split::kTrain, samples);
    }
    if (listing.folders.empty() && loose_) {
      AddGood(train, listing.files, Split::kTrain, samples);
    } else {
      RefuseImages(listing, train, Quote(train + "/good"));
    }
  }

  void ReadMasks(const std::string& ground_truth) {
    mask_folder_ = ground_truth;
    const DatasetRoot::Listing listing = root_.List(ground_truth);
    RefuseImages(listing, ground_truth, Quote(ground_truth + "/DEFECT"));
    for (const std::string& defect : listing.folders) {
      const std::string folder = JoinNames(ground_truth, defect);
      std::vector<std::string> masks = root_.ListImages(folder);
      if (masks.empty()) continue;
      if (ReadLabelWord(defect) == LabelWord::kGood) {
        RefuseDataset("MASK_OF_GOOD",
                      "the folder " + Quote(folder) + " has masks, but good images have none");
      }
      masks_.emplace(defect, std::move(masks));
    }
  }

  void ReadTest(const std::string& test, std::vector<Sample>& samples) {
    const DatasetRoot::Listing listing = root_.List(test);
    RefuseImages(listing, test, Quote(test + "/good") + " or " + Quote(test + "/DEFECT"));
    const bool numbers_are_defects = NumbersAreDefects(listing.folders);
    for (const std::string& name : listing.folders) {
      const std::string folder = JoinNames(test, name);
      if (ReadFolderRole(name) != FolderRole::kOther) {
        RefuseDataset("DATASET_LAYOUT",
                      "the folder " + Quote(folder) + " names no kind of defect; expected " +
                          Quote(test + "/good") + " or " + Quote(test + "/DEFECT"));
      }
      const LabelWord meaning = ReadLabelWord(name);
      const bool is_number = NormalizeLabel(name) == "0" || NormalizeLabel(name) == "1";
      if (meaning == LabelWord::kAmbiguous && !(is_number && numbers_are_defects))
        RefuseAmbiguous(folder, name);
      const std::vector<std::string> files = root_.ListImages(folder);
      if (meaning == LabelWord::kGood) {
        AddGood(folder, files, Split::kTest, samples);
      } else {
        AddDefective(folder, name, files, TakeMasks(name, listing), samples);
      }
    }
  }

  // Moves the masks of a defect out of masks_: their folder, whose name may differ from that of the
  // defect in case and blanks, and their names.
  std::pair<std::string, std::vector<std::string>> TakeMasks(const std::string& defect,
                                                             const DatasetRoot::Listing& test) {
    auto found = masks_.find(defect);
    for (auto it = masks_.begin(); found == masks_.end() && it != masks_.end(); ++it) {
      if (WithoutCase(it->first) == WithoutCase(defect) && !test.HasFolder(it->first)) found = it;
    }
    if (found == masks_.end()) return {JoinNames(mask_folder_, defect), {}};
    auto taken = masks_.extract(found);
    return {JoinNames(mask_folder_, taken.key()), std::move(taken.mapped())};
  }

  Sample MakeSample(const std::string& folder, const std::string& file, Split split,
                    const std::string& defect) const {
    const std::string name = JoinNames(folder, file);
    return {.path = root_.PathOf(name),
            .name = name,
            .category = category_,
            .split = split,
            .good = defect.empty(),
            .defect = defect,
            .mask = std::nullopt,
            .label = folder};
  }

  static void RefuseOrphans(const std::string& folder, const PairedFiles& paired) {
    if (paired.orphans.empty()) return;
    RefuseDataset("MASK_WITHOUT_PICTURE",
                  "the file " + Quote(JoinNames(folder, paired.orphans.front())) +
                      " is named as a mask, but its image is not beside it; move masks into "
                      "ground_truth/DEFECT, or rename the file if it is an image");
  }

  void AddGood(const std::string& folder, std::vector<std::string> files, Split split,
               std::vector<Sample>& samples) {
    std::erase_if(files, [&](const std::string& file) {
      const bool ignored = !IsImageName(file);
      if (ignored) root_.Ignore(JoinNames(folder, file));
      return ignored;
    });
    const PairedFiles paired = PairFiles(files);
    if (!paired.masks.empty()) {
      const auto& [image, masks] = *paired.masks.begin();
      RefuseDataset("MASK_OF_GOOD",
                    "the image " + Quote(JoinNames(folder, image)) + " has the mask " +
                        Quote(masks.front()) +
                        " beside it, but its folder is read as good, and good images have none; "
                        "put images with a defect into " +
                        Quote(In("test/DEFECT")) + ", and remove the masks of good images");
    }
    RefuseOrphans(folder, paired);
    for (const std::string& file : paired.images)
      samples.push_back(MakeSample(folder, file, split, ""));
  }

  // The masks lie beside the images, or in `given`: their folder and their names. Each mask must
  // belong to one image, and each image must have one mask if there are any.
  void AddDefective(const std::string& folder, const std::string& defect,
                    const std::vector<std::string>& files,
                    const std::pair<std::string, std::vector<std::string>>& given,
                    std::vector<Sample>& samples) {
    const PairedFiles beside = PairFiles(files);
    RefuseOrphans(folder, beside);
    const auto& [given_folder, given_masks] = given;
    if (!beside.masks.empty() && !given_masks.empty()) {
      RefuseDataset("MASK_AMBIGUOUS", "the folder " + Quote(folder) + " has masks (" +
                                          Quote(beside.masks.begin()->second.front()) +
                                          "), and so has the folder " + Quote(given_folder) +
                                          "; keep those of one folder");
    }
    const bool is_beside = !beside.masks.empty();
    const std::string& mask_folder = is_beside ? folder : given_folder;
    const Masks masks = is_beside ? beside.masks : MasksByImage(beside.images, given_masks);
    std::map<std::string, std::string> images_by_mask;
    for (const std::string& file : beside.images) {
      samples.push_back(MakeSample(folder, file, Split::kTest, defect));
      if (!is_beside && given_masks.empty()) continue;
      const std::string& mask = FindMask(masks, mask_folder, file);
      const auto [other, is_new] = images_by_mask.emplace(mask, file);
      if (!is_new) {
        RefuseDataset("MASK_AMBIGUOUS", "the images " + Quote(JoinNames(folder, other->second)) +
                                            " and " + Quote(file) + " would share the mask " +
                                            Quote(JoinNames(mask_folder, mask)) +
                                            "; rename one of them and give it its own mask");
      }
      samples.back().mask = root_.PathOf(JoinNames(mask_folder, mask));
    }
    for (const std::string& mask : given_masks) {
      if (images_by_mask.count(mask) == 0) {
        RefuseDataset("MASK_WITHOUT_PICTURE", "the mask " + Quote(JoinNames(mask_folder, mask)) +
                                                  " has no image in " + Quote(folder));
      }
    }
  }

  static const std::string& FindMask(const Masks& masks, const std::string& mask_folder,
                                     const std::string& image) {
    const auto found = masks.find(image);
    if (found == masks.end()) {
      const std::string stem = image.substr(0, image.rfind('.'));
      RefuseDataset("MASK_MISSING", "the image " + Quote(image) + " has no mask " +
                                        Quote(JoinNames(mask_folder, stem) + "_mask.png") +
                                        ", but other images of its folder have masks");
    }
    if (found->second.size() > 1) {
      RefuseDataset("MASK_AMBIGUOUS",
                    "the masks " + Quote(JoinNames(mask_folder, found->second[0])) + " and " +
                        Quote(found->second[1]) + " belong to the same image; keep one of them");
    }
    return found->second.front();
  }

  DatasetRoot& root_;
  const std::string folder_;
  const std::string category_;
  const bool loose_;
  std::string mask_folder_;                                // of all defects, below the root
  std::map<std::string, std::vector<std::string>> masks_;  // by defect; those not read yet
};

}  // namespace

void ReadCategoryFolder(DatasetRoot& root, const std::string& folder, const std::string& category,
                        bool loose, std::vector<Sample>& samples) {
  CategoryFolder(root, folder, category, loose).Read(samples);
}

}  // namespace proad::model
