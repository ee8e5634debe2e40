#include "model/dataset/category_folder.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "model/files/text.h"

namespace proad::model {
namespace {

constexpr char kGood[] = "good";

std::string Stem(const std::string& file) { return file.substr(0, file.rfind('.')); }

// The folder of one category. Read is called once.
class CategoryFolder {
 public:
  CategoryFolder(DatasetRoot& root, std::string folder, std::string category, bool loose)
      : root_(root), folder_(std::move(folder)), category_(std::move(category)), loose_(loose) {}

  void Read(std::vector<Sample>& samples) {
    const DatasetRoot::Listing listing = root_.List(folder_);
    for (const std::string& name : listing.folders) {
      if (name != "train" && name != "test" && name != "ground_truth") {
        RefuseDataset("DATASET_LAYOUT",
                      "the folder " + Quote(In(name)) + " is none of train, test and ground_truth");
      }
    }
    const bool has_train = listing.HasFolder("train");
    if (has_train) {
      ReadTrain(samples);
      RefuseImages(listing, folder_, Quote(In("train/good")));
    } else if (loose_) {
      AddGood(folder_, listing.files, Split::kTrain, samples);
    } else {
      RefuseImages(listing, folder_, Quote(In("train/good")));
    }
    if (listing.HasFolder("ground_truth")) ReadMasks();
    if (listing.HasFolder("test")) ReadTest(samples);
    if (!masks_.empty()) {
      RefuseDataset("MASK_WITHOUT_PICTURE", "the folder " +
                                                Quote(In("ground_truth/" + masks_.begin()->first)) +
                                                " has masks, but there is no folder " +
                                                Quote(In("test/" + masks_.begin()->first)));
    }
  }

 private:
  // Names of masks by their stems.
  using Masks = std::map<std::string, std::string>;

  std::string In(const std::string& name) const { return JoinNames(folder_, name); }

  void RefuseImages(const DatasetRoot::Listing& listing, const std::string& folder,
                    const std::string& right) const {
    const auto image = std::find_if(listing.files.begin(), listing.files.end(), IsImageName);
    if (image != listing.files.end()) {
      RefuseDataset("DATASET_LAYOUT", "the image " + Quote(JoinNames(folder, *image)) +
                                          " is in the wrong folder; expected in " + right);
    }
  }

  void ReadTrain(std::vector<Sample>& samples) {
    const std::string train = In("train");
    const DatasetRoot::Listing listing = root_.List(train);
    for (const std::string& name : listing.folders) {
      if (name != kGood) {
        RefuseDataset("TRAIN_NOT_GOOD", "the folder " + Quote(In("train/" + name)) +
                                            " is not \"good\": training uses good images only; put "
                                            "defective images into " +
                                            Quote(In("test/" + name)));
      }
    }
    if (listing.HasFolder(kGood)) {
      RefuseImages(listing, train, Quote(In("train/good")));
      AddGood(In("train/good"), root_.ListImages(In("train/good")), Split::kTrain, samples);
    } else if (loose_) {
      AddGood(train, listing.files, Split::kTrain, samples);
    } else {
      RefuseImages(listing, train, Quote(In("train/good")));
    }
  }

  void ReadMasks() {
    const std::string ground_truth = In("ground_truth");
    const DatasetRoot::Listing listing = root_.List(ground_truth);
    RefuseImages(listing, ground_truth, Quote(ground_truth + "/DEFECT"));
    for (const std::string& defect : listing.folders) {
      const std::string folder = JoinNames(ground_truth, defect);
      Masks masks;
      for (const std::string& file : root_.ListImages(folder)) {
        const auto [it, is_new] = masks.emplace(Stem(file), file);
        if (!is_new) {
          RefuseDataset("MASK_AMBIGUOUS", "the masks " + Quote(JoinNames(folder, it->second)) +
                                              " and " + Quote(file) +
                                              " belong to the same image; keep one of them");
        }
      }
      if (defect == kGood && !masks.empty()) {
        RefuseDataset("MASK_OF_GOOD",
                      "the folder " + Quote(folder) + " has masks, but good images have none");
      }
      if (!masks.empty()) masks_.emplace(defect, std::move(masks));
    }
  }

  void ReadTest(std::vector<Sample>& samples) {
    const std::string test = In("test");
    const DatasetRoot::Listing listing = root_.List(test);
    RefuseImages(listing, test, Quote(test + "/good") + " or " + Quote(test + "/DEFECT"));
    for (const std::string& defect : listing.folders) {
      const std::string folder = JoinNames(test, defect);
      const std::vector<std::string> files = root_.ListImages(folder);
      if (defect == kGood) {
        AddGood(folder, files, Split::kTest, samples);
      } else {
        AddDefective(folder, defect, files, samples);
      }
    }
  }

  void AddGood(const std::string& folder, const std::vector<std::string>& files, Split split,
               std::vector<Sample>& samples) {
    for (const std::string& file : files) {
      const std::string name = JoinNames(folder, file);
      if (IsImageName(file)) {
        samples.push_back({.path = root_.PathOf(name),
                           .name = name,
                           .category = category_,
                           .split = split,
                           .good = true,
                           .defect = "",
                           .mask = std::nullopt});
      } else {
        root_.Ignore(name);
      }
    }
  }

  // Uses the masks of this defect; each must belong to an image.
  void AddDefective(const std::string& folder, const std::string& defect,
                    const std::vector<std::string>& files, std::vector<Sample>& samples) {
    auto found = masks_.extract(defect);
    const Masks masks = found.empty() ? Masks() : std::move(found.mapped());
    const std::string mask_folder = In("ground_truth/" + defect);
    std::set<std::string> used;
    for (const std::string& file : files) {
      const std::string name = JoinNames(folder, file);
      Sample sample{.path = root_.PathOf(name),
                    .name = name,
                    .category = category_,
                    .split = Split::kTest,
                    .good = false,
                    .defect = defect,
                    .mask = std::nullopt};
      if (!masks.empty()) {
        const std::string& mask = FindMask(masks, mask_folder, file);
        used.insert(mask);
        sample.mask = root_.PathOf(JoinNames(mask_folder, mask));
      }
      samples.push_back(std::move(sample));
    }
    for (const auto& [stem, mask] : masks) {
      if (used.count(mask) == 0) {
        RefuseDataset("MASK_WITHOUT_PICTURE", "the mask " + Quote(JoinNames(mask_folder, mask)) +
                                                  " has no image in " + Quote(folder));
      }
    }
  }

  static const std::string& FindMask(const Masks& masks, const std::string& mask_folder,
                                     const std::string& image) {
    for (const char* suffix : {"_mask", ""}) {
      const auto mask = masks.find(Stem(image) + suffix);
      if (mask != masks.end()) return mask->second;
    }
    RefuseDataset("MASK_MISSING", "the image " + Quote(image) + " has no mask " +
                                      Quote(mask_folder + "/" + Stem(image) + "_mask.png") +
                                      ", but other images of its folder have masks");
  }

  DatasetRoot& root_;
  const std::string folder_;
  const std::string category_;
  const bool loose_;
  std::map<std::string, Masks> masks_;  // by defect; the defects that are not read yet
};

}  // namespace

void ReadCategoryFolder(DatasetRoot& root, const std::string& folder, const std::string& category,
                        bool loose, std::vector<Sample>& samples) {
  CategoryFolder(root, folder, category, loose).Read(samples);
}

}  // namespace proad::model
