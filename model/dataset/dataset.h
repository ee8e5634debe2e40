// The images of a dataset for training and evaluation: category, split, label and mask of each,
// read from the layout of its folders and lists. model/dataset/dataset_layout.h has the layouts.
//
// No LibTorch. Values and functions without state: safe to call from any thread. Nothing here
// decodes an image; model/dataset/dataset_report.h reads the files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/dataset/skipped_entries.h"

namespace proad::model {

enum class DatasetFormat {
  kAuto,      // recognised from the folders
  kMvtec,     // CATEGORY/train/good, CATEGORY/test/DEFECT, CATEGORY/ground_truth/DEFECT
  kVisa,      // VisA as published: CATEGORY/Data/Images and split_csv/1cls.csv
  kVisa1cls,  // VisA rearranged like MVTec-AD, optionally in a folder "1cls"
  kRealIad,   // Real-IAD: realiad_1024/CATEGORY and realiad_jsons/CATEGORY.json
  kFolder,    // good images in one folder, or in one folder for each category
  kCsv,       // a list: path, label, split, and optionally mask and category
};

// "auto", "mvtec", "visa", "visa_1cls", "real_iad", "folder", "csv".
const char* NameOf(DatasetFormat format);

// Throws InvalidInput (field "dataset_format") that lists the names.
DatasetFormat ParseDatasetFormat(const std::string& name);

enum class Split { kTrain, kTest };

// "train", "test".
const char* NameOf(Split split);

// One image.
struct Sample {
  std::filesystem::path path;  // absolute, links resolved; inside the root when it was listed
  std::string name;            // relative to the root, parts separated by "/", UTF-8
  std::string category;
  Split split = Split::kTrain;
  bool good = true;
  std::string defect;                         // its kind; empty for a good image
  std::optional<std::filesystem::path> mask;  // like path; a defective image may have one
  std::string label{};  // as it is written: its folder below the root, or its label in a list
};

struct Dataset {
  std::filesystem::path root;  // absolute, links resolved
  DatasetFormat format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // sorted; each has samples
  std::vector<Sample> samples;          // sorted by category, split and name; names are unique
  std::vector<std::string> ignored;     // files that are not images
  SkippedEntries skipped;               // other files and folders that are not read
};

struct DatasetOptions {
  DatasetFormat format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // to read; empty: all. The others are not read at all
  size_t max_files = 1'000'000;         // directory entries and rows of lists together
  int64_t max_list_bytes = 64 << 20;    // of one CSV or JSON file
};

// Reads the dataset at `path`: a folder, or a list (a CSV file, or Real-IAD's JSON file of one
// category). Images are PNG, JPEG, BMP, TIFF and WebP files; the ending of the name decides. Names
// that begin with a dot, folders of thumbnails and what `proad detect` wrote are skipped. README.md
// has the table of the names that are read as good, as defective, as splits and as masks.
//
//   kMvtec, kVisa1cls, kFolder
//             Masks lie in ground_truth/DEFECT or beside the images of test/DEFECT, and are named
//             after their image, for example STEM or STEM_mask. If there are any, every image of
//             test/DEFECT must have one.
//   kFolder   Good images lie in FOLDER, FOLDER/train or FOLDER/train/good; test and ground_truth
//             are as in MVTec-AD. The category is the name of the folder.
//   kVisa     The kinds of defects come from CATEGORY/image_anno.csv; without this list every
//             defect is an "anomaly".
//   kRealIad  Uses the first of realiad_1024, realiad_raw, realiad_512 and realiad_256 that exists.
//             An image is good if its anomaly_class means good.
//   kCsv      The list is dataset.csv, or the only CSV file of the folder. A label that means
//             good is good; any other label is the kind of defect. The split is "train" or "test".
//             Paths are relative to the folder of the list. Images without a category get
//             the name of the list as their category.
//
// Throws InvalidInput (field "dataset", or "categories" for an unknown category) that names the
// path or the line, and FileError. It refuses, among others: a layout that is not recognised;
// images in a wrong folder, which would be skipped; defective images in the split "train"; a mask
// without its image, and an image without its mask; links and paths that leave the root; the same
// image twice; a dataset without images; more files than the options allow.
Dataset OpenDataset(const std::filesystem::path& path, const DatasetOptions& options = {});

// Throws InvalidInput (field "dataset") that names the categories without a good image in the split
// kTrain.
void CheckTrainable(const Dataset& dataset);

// Throws InvalidInput (field "dataset") unless a category has good and defective images in the
// split kTest; figures need both.
void CheckEvaluable(const Dataset& dataset);

}  // namespace proad::model
