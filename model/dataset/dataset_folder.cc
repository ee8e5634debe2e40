// Layouts that say by folders what a picture is: MVTec-AD, rearranged VisA, plain folders.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "model/dataset/dataset_layouts.h"
#include "model/files/strict_json.h"

namespace proad::model {
namespace {

constexpr char kGood[] = "good";

std::string Stem(const std::string& file) { return file.substr(0, file.rfind('.')); }

// One category's folder.
class CategoryFolder {
 public:
  // loose: pictures may lie in the folder itself or in train.
  CategoryFolder(DatasetTree& tree, std::string folder, std::string category, bool loose)
      : tree_(tree), folder_(std::move(folder)), category_(std::move(category)), loose_(loose) {}

  void Read(std::vector<Sample>& samples) {
    const DatasetTree::Listing listing = tree_.List(folder_);
    for (const std::string& name : listing.folders) {
      if (name != "train" && name != "test" && name != "ground_truth") {
        RefuseDataset("DATASET_LAYOUT",
                      "the folder " + Quote(In(name)) + " is none of train, test and ground_truth");
      }
    }
    const bool has_train = listing.HasFolder("train");
    if (has_train) {
      ReadTrain(samples);
      RefusePictures(listing, folder_, Quote(In("train/good")));
    } else if (loose_) {
      AddGood(folder_, listing.files, Split::kTrain, samples);
    } else {
      RefusePictures(listing, folder_, Quote(In("train/good")));
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
  // A mask's name without its ending, and its whole name.
  using Masks = std::map<std::string, std::string>;

  std::string In(const std::string& name) const { return JoinNames(folder_, name); }

  void RefusePictures(const DatasetTree::Listing& listing, const std::string& folder,
                      const std::string& right) const {
    const auto picture = std::find_if(listing.files.begin(), listing.files.end(), IsPictureName);
    if (picture != listing.files.end()) {
      RefuseDataset("DATASET_LAYOUT", "the picture " + Quote(JoinNames(folder, *picture)) +
                                          " lies in the wrong place: expected in " + right);
    }
  }

  void ReadTrain(std::vector<Sample>& samples) {
    const std::string train = In("train");
    const DatasetTree::Listing listing = tree_.List(train);
    for (const std::string& name : listing.folders) {
      if (name != kGood) {
        RefuseDataset("TRAIN_NOT_GOOD", "the folder " + Quote(In("train/" + name)) +
                                            " is not \"good\": training takes good pictures only; "
                                            "defective ones belong in " +
                                            Quote(In("test/" + name)));
      }
    }
    if (listing.HasFolder(kGood)) {
      RefusePictures(listing, train, Quote(In("train/good")));
      AddGood(In("train/good"), tree_.ListPictures(In("train/good")), Split::kTrain, samples);
    } else if (loose_) {
      AddGood(train, listing.files, Split::kTrain, samples);
    } else {
      RefusePictures(listing, train, Quote(In("train/good")));
    }
  }

  void ReadMasks() {
    const std::string ground_truth = In("ground_truth");
    const DatasetTree::Listing listing = tree_.List(ground_truth);
    RefusePictures(listing, ground_truth, Quote(ground_truth + "/DEFECT"));
    for (const std::string& defect : listing.folders) {
      const std::string folder = JoinNames(ground_truth, defect);
      Masks masks;
      for (const std::string& file : tree_.ListPictures(folder)) {
        const auto [it, is_new] = masks.emplace(Stem(file), file);
        if (!is_new) {
          RefuseDataset("MASK_AMBIGUOUS", "the masks " + Quote(JoinNames(folder, it->second)) +
                                              " and " + Quote(file) +
                                              " are for the same picture; keep one");
        }
      }
      if (defect == kGood && !masks.empty()) {
        RefuseDataset("MASK_OF_GOOD",
                      "the folder " + Quote(folder) + " has masks, but good pictures have none");
      }
      if (!masks.empty()) masks_.emplace(defect, std::move(masks));
    }
  }

  void ReadTest(std::vector<Sample>& samples) {
    const std::string test = In("test");
    const DatasetTree::Listing listing = tree_.List(test);
    RefusePictures(listing, test, Quote(test + "/good") + " or " + Quote(test + "/DEFECT"));
    for (const std::string& defect : listing.folders) {
      const std::string folder = JoinNames(test, defect);
      const std::vector<std::string> files = tree_.ListPictures(folder);
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
      if (IsPictureName(file)) {
        samples.push_back({.path = tree_.PathOf(name),
                           .name = name,
                           .category = category_,
                           .split = split,
                           .good = true,
                           .defect = "",
                           .mask = std::nullopt});
      } else {
        tree_.Ignore(name);
      }
    }
  }

  // Takes the masks of this defect; none may be left over.
  void AddDefective(const std::string& folder, const std::string& defect,
                    const std::vector<std::string>& files, std::vector<Sample>& samples) {
    auto found = masks_.extract(defect);
    const Masks masks = found.empty() ? Masks() : std::move(found.mapped());
    const std::string mask_folder = In("ground_truth/" + defect);
    std::set<std::string> used;
    for (const std::string& file : files) {
      const std::string name = JoinNames(folder, file);
      Sample sample{.path = tree_.PathOf(name),
                    .name = name,
                    .category = category_,
                    .split = Split::kTest,
                    .good = false,
                    .defect = defect,
                    .mask = std::nullopt};
      if (!masks.empty()) {
        const std::string& mask = FindMask(masks, mask_folder, file);
        used.insert(mask);
        sample.mask = tree_.PathOf(JoinNames(mask_folder, mask));
      }
      samples.push_back(std::move(sample));
    }
    for (const auto& [stem, mask] : masks) {
      if (used.count(mask) == 0) {
        RefuseDataset("MASK_WITHOUT_PICTURE", "the mask " + Quote(JoinNames(mask_folder, mask)) +
                                                  " has no picture in " + Quote(folder));
      }
    }
  }

  static const std::string& FindMask(const Masks& masks, const std::string& mask_folder,
                                     const std::string& picture) {
    for (const char* suffix : {"_mask", ""}) {
      const auto mask = masks.find(Stem(picture) + suffix);
      if (mask != masks.end()) return mask->second;
    }
    RefuseDataset("MASK_MISSING", "the picture " + Quote(picture) + " has no mask " +
                                      Quote(mask_folder + "/" + Stem(picture) + "_mask.png") +
                                      ", though others of its folder have");
  }

  DatasetTree& tree_;
  const std::string folder_;
  const std::string category_;
  const bool loose_;
  std::map<std::string, Masks> masks_;  // by defect, of those not yet read
};

// Folders of a plain dataset are categories, unless their names say otherwise: taking them for
// categories would train on defects.
void RefuseVerdicts(const std::vector<std::string>& names) {
  constexpr std::array<std::string_view, 14> kVerdicts = {
      "good",    "bad",       "ok",        "ng",     "nok",     "normal",    "abnormal",
      "anomaly", "anomalous", "anomalies", "defect", "defects", "defective", "damaged"};
  for (const std::string& name : names) {
    if (std::find(kVerdicts.begin(), kVerdicts.end(), ToLowerAscii(name)) != kVerdicts.end()) {
      RefuseDataset("DATASET_LAYOUT", "the folder " + Quote(name) +
                                          " cannot be a category: good pictures belong in "
                                          "train/good and test/good, others in test/DEFECT");
    }
  }
}

}  // namespace

DatasetLayout MvtecLayout(DatasetTree& tree, const std::string& base, DatasetFormat format) {
  return {.format = format,
          .categories = tree.List(base).folders,
          .read = [&tree, base](const std::string& category, std::vector<Sample>& samples) {
            CategoryFolder(tree, JoinNames(base, category), category, false).Read(samples);
          }};
}

DatasetLayout FolderLayout(DatasetTree& tree) {
  const DatasetTree::Listing listing = tree.List("");
  const bool single =
      listing.HasPictures() || listing.HasFolder("train") || listing.HasFolder("test");
  if (!single) RefuseVerdicts(listing.folders);
  return {.format = DatasetFormat::kFolder,
          .categories =
              single ? std::vector<std::string>{tree.root().filename().string()} : listing.folders,
          .read = [&tree, single](const std::string& category, std::vector<Sample>& samples) {
            CategoryFolder(tree, single ? "" : category, category, true).Read(samples);
          }};
}

}  // namespace proad::model
