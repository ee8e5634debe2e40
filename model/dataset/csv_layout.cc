// A list of images in a CSV file: path, label, split, and optionally mask and category.
#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "model/dataset/csv_table.h"
#include "model/dataset/dataset_layout.h"
#include "model/dataset/listed_sample.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// The CSV file of a dataset's folder.
std::string FindList(DatasetRoot& root) {
  const DatasetRoot::Listing top = root.List("");
  if (top.HasFile(kCsvListName)) return kCsvListName;
  std::vector<std::string> found;
  for (const std::string& file : top.files) {
    if (ToLowerAscii(file).ends_with(".csv")) found.push_back(file);
  }
  if (found.size() == 1) return found.front();
  RefuseDataset("DATASET_LAYOUT", Quote(root.path().string()) + " has " +
                                      std::to_string(found.size()) +
                                      " CSV files; pass the path of one, or name it dataset.csv");
}

}  // namespace

DatasetLayout OpenCsvLayout(const DatasetEntry& entry) {
  DatasetRoot& root = entry.root;
  const std::string list = entry.list ? *entry.list : FindList(root);
  const CsvTable table(root, list, entry.options);
  table.CheckColumns({"path", "label", "split"}, {"mask", "category"});
  auto rows = std::make_shared<std::map<std::string, std::vector<ListedSample>>>();
  const std::string list_name = std::filesystem::path(list).stem().string();
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string where = table.Where(row);
    std::string category = table.Get(row, "category");
    if (category.empty()) category = list_name;
    (*rows)[category].push_back({.where = where,
                                 .image = table.Get(row, "path"),
                                 .mask = table.Get(row, "mask"),
                                 .category = category,
                                 .split = ParseSplit(table.Get(row, "split"), where),
                                 .defect = ParseLabel(table.Get(row, "label"), where),
                                 .label = table.Get(row, "label")});
  }
  std::vector<std::string> categories;
  for (const auto& [category, listed] : *rows) categories.push_back(category);
  return {.categories = std::move(categories),
          .read = [&root, rows](const std::string& category, std::vector<Sample>& samples) {
            for (const ListedSample& listed : rows->at(category))
              samples.push_back(MakeSample(root, listed));
          }};
}

}  // namespace proad::model
