// The layouts that OpenDataset knows, one function each.
//
// No LibTorch. Called by model/dataset/dataset.cc only; errors are those of OpenDataset.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/dataset_tree.h"

namespace proad::model {

// What a layout found at first sight, and how to read the rest. `read` keeps a reference to the
// tree.
struct DatasetLayout {
  DatasetFormat format = DatasetFormat::kAuto;
  std::vector<std::string> categories;  // sorted
  std::function<void(const std::string& category, std::vector<Sample>& samples)> read;
};

// MVTec-AD below the folder `base`.
DatasetLayout MvtecLayout(DatasetTree& tree, const std::string& base, DatasetFormat format);
DatasetLayout FolderLayout(DatasetTree& tree);
DatasetLayout VisaLayout(DatasetTree& tree, const DatasetOptions& options);

// `list` is the CSV file.
DatasetLayout CsvLayout(DatasetTree& tree, const std::string& list, const DatasetOptions& options);

// `list` is the JSON file of the only category to read; none: of all categories.
DatasetLayout RealIadLayout(DatasetTree& tree, const std::optional<std::string>& list,
                            const DatasetOptions& options);

// One row of a list, which becomes a sample when its files are looked up.
struct ListedSample {
  std::string where;  // in which list and line, for messages
  std::string image;
  std::string mask;  // "" for none
  std::string category;
  Split split = Split::kTrain;
  std::string defect;  // "" when good
};

// Refuses files that are missing or outside, a defective picture to train on, and a mask of a good
// one.
Sample MakeSample(const DatasetTree& tree, const ListedSample& listed);

// "train" or "test".
Split ParseSplit(const std::string& text, const std::string& where);

}  // namespace proad::model
