// The table of the dataset layouts that OpenDataset reads.
//
// A new layout is one value of DatasetFormat, one file NAME_layout.cc with a function that opens
// it, and one row of the table in dataset_layout.cc.
//
// No LibTorch. The functions throw as OpenDataset does. Not thread-safe: they use one DatasetRoot.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/dataset_root.h"

namespace proad::model {

// The categories of a dataset, and how to read one of them. `read` keeps a reference to the root.
struct DatasetLayout {
  std::vector<std::string> categories;  // sorted
  std::function<void(const std::string& category, std::vector<Sample>& samples)> read;
};

// What OpenDataset was asked to open: the folder of `root`, or a list in it.
struct DatasetEntry {
  DatasetRoot& root;
  const DatasetOptions& options;
  std::optional<std::string> list;  // name of the CSV or JSON file
};

// One row of the table.
struct LayoutTraits {
  DatasetFormat format;
  const char* name;
  const char* list_ending;  // of the lists that may be opened directly; "" for none
  // Whether the folder of the dataset has this layout; nullptr if it does not show there.
  bool (*matches_root)(const DatasetRoot::Listing& root);
  // Whether a folder in it is a category of this layout; nullptr if it does not show there.
  bool (*matches_category)(const DatasetRoot::Listing& category);
  DatasetLayout (*open)(const DatasetEntry& entry);
};

// All rows, in the order in which an unnamed layout is recognised: first by the dataset's folder,
// then by the first folder in it that matches a layout.
std::span<const LayoutTraits> DatasetLayouts();

// One per file, NAME_layout.cc.
DatasetLayout OpenMvtecLayout(const DatasetEntry& entry);
DatasetLayout OpenVisaLayout(const DatasetEntry& entry);
DatasetLayout OpenVisa1clsLayout(const DatasetEntry& entry);
DatasetLayout OpenRealIadLayout(const DatasetEntry& entry);
DatasetLayout OpenFolderLayout(const DatasetEntry& entry);
DatasetLayout OpenCsvLayout(const DatasetEntry& entry);

// File and folder names by which more than one file recognises a layout.
inline constexpr char kCsvListName[] = "dataset.csv";
inline constexpr char kRealIadLists[] = "realiad_jsons";
inline constexpr char kVisa1clsFolder[] = "1cls";

}  // namespace proad::model
