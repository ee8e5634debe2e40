// The pictures to train and evaluate on: what each is, by the layout that they lie in on disk.
//
// No LibTorch. Plain values and functions without state; safe to call from any thread. Nothing here
// decodes a picture: model/dataset/dataset_report.h looks into the files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace proad::model {

enum class DatasetFormat {
  kAuto,      // recognised by itself
  kMvtec,     // CATEGORY/train/good, CATEGORY/test/DEFECT, CATEGORY/ground_truth/DEFECT
  kVisa,      // VisA as published: CATEGORY/Data/Images and split_csv/1cls.csv
  kVisa1cls,  // VisA rearranged as MVTec-AD is, perhaps in a folder "1cls"
  kRealIad,   // Real-IAD: realiad_1024/CATEGORY and realiad_jsons/CATEGORY.json
  kFolder,    // good pictures in one folder, or in one folder a category
  kCsv,       // a list: path, label, split, and perhaps mask and category
};

// "auto", "mvtec", "visa", "visa_1cls", "real_iad", "folder", "csv".
const char* NameOf(DatasetFormat format);

// Throws InvalidInput (field "dataset_format") listing the names.
DatasetFormat ParseDatasetFormat(const std::string& name);

enum class Split { kTrain, kTest };

// "train", "test".
const char* NameOf(Split split);

// One picture.
struct Sample {
  std::filesystem::path path;  // absolute, links resolved; inside the root when it was looked at
  std::string name;            // below the dataset's root, parts separated by "/", UTF-8
  std::string category;
  Split split = Split::kTrain;
  bool good = true;
  std::string defect;                         // its kind; empty for a good picture
  std::optional<std::filesystem::path> mask;  // as path; only of defective pictures, and not of all
};

struct Dataset {
  std::filesystem::path root;  // absolute, links resolved
  DatasetFormat format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // sorted; each has samples
  std::vector<Sample> samples;          // sorted by category, split and name; names are unique
  std::vector<std::string> ignored;     // files beside the pictures that are none; the first 100
};

struct DatasetOptions {
  DatasetFormat format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // to read; empty: all. The others are not looked into
  size_t max_files = 1'000'000;         // directory entries and rows of lists, all together
  int64_t max_list_bytes = 64 << 20;    // of one CSV or JSON file
};

// Reads the layout at `path`, a folder or the list of one (a CSV file, or the JSON file of one
// category of Real-IAD). Pictures are PNG, JPEG, BMP, TIFF and WebP files, by their names' endings;
// names that begin with a dot are passed over.
//
//   folders   Masks are named PICTURE_mask or PICTURE. A folder ground_truth/DEFECT has the mask of
//             every picture of test/DEFECT; where there is no such folder there are no masks.
//             kFolder: pictures lie in FOLDER, FOLDER/train or FOLDER/train/good; test and
//             ground_truth as in MVTec-AD. The category is the folder's name.
//   kVisa     kinds of defects come from CATEGORY/image_anno.csv; without it they are "anomaly".
//   kRealIad  the first of realiad_1024, realiad_raw, realiad_512 and realiad_256 that is there; a
//             picture is good when its anomaly_class is "OK".
//   kCsv      dataset.csv in the folder is recognised by itself. label: "good", "normal" or "ok",
//             else the kind of defect. split: "train" or "test". Paths are relative to the list's
//             folder. Without a category the pictures belong to one, named as the list.
//
// Throws InvalidInput (field "dataset", or "categories" for one that is not there) naming the path
// or the line, and FileError where the system refuses. Refused are, among others: a layout that is
// not recognised; pictures that would be passed over because they lie in the wrong place; defective
// pictures to train on; a mask without its picture, a picture without its mask; links and paths
// that leave the root; the same picture twice; nothing at all; more than the options allow.
Dataset OpenDataset(const std::filesystem::path& path, const DatasetOptions& options = {});

// Throws InvalidInput (field "dataset") naming the categories that have no good picture in the
// split kTrain.
void CheckTrainable(const Dataset& dataset);

// Throws InvalidInput (field "dataset") unless some category has good and defective pictures in the
// split kTest, which figures need.
void CheckEvaluable(const Dataset& dataset);

}  // namespace proad::model
