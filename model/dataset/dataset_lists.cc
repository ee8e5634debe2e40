// Layouts that say in a CSV file what a picture is: VisA as published, and lists of one's own.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "model/dataset/dataset_layouts.h"
#include "model/files/csv.h"
#include "model/files/error.h"
#include "model/files/strict_json.h"

namespace proad::model {
namespace {

constexpr char kVisaSplit[] = "split_csv/1cls.csv";

// A CSV file with named columns.
class CsvTable {
 public:
  CsvTable(DatasetTree& tree, const std::string& name, const DatasetOptions& options)
      : name_(name),
        rows_(ParseCsv(tree.ReadList(name, options.max_list_bytes), name,
                       {.rows = options.max_files + 1})) {
    if (rows_.empty()) RefuseDataset("DATASET_EMPTY", name_ + ": the file is empty");
    tree.Count(rows_.size() - 1);
  }

  // Refuses columns that are missing, double or unknown.
  void CheckColumns(const std::vector<std::string>& required,
                    const std::vector<std::string>& optional) const {
    const std::vector<std::string>& columns = rows_.front().fields;
    for (const std::string& column : required) {
      if (std::count(columns.begin(), columns.end(), column) == 0)
        RefuseDataset("CSV_COLUMN", name_ + ":1: the column \"" + column + "\" is missing");
    }
    for (const std::string& column : columns) {
      const bool known = std::count(required.begin(), required.end(), column) > 0 ||
                         std::count(optional.begin(), optional.end(), column) > 0;
      if (known && std::count(columns.begin(), columns.end(), column) == 1) continue;
      std::string names;
      for (const auto* list : {&required, &optional}) {
        for (const std::string& name : *list) names += (names.empty() ? "" : ", ") + name;
      }
      RefuseDataset("CSV_COLUMN", name_ + ":1: the column " + Quote(column) +
                                      (known ? " stands twice" : " is unknown") + "; columns are " +
                                      names);
    }
  }

  size_t size() const { return rows_.size() - 1; }
  std::string Where(size_t row) const { return name_ + ":" + std::to_string(rows_[row + 1].line); }
  // "" when there is no such column.
  std::string Get(size_t row, const std::string& column) const {
    const std::vector<std::string>& columns = rows_.front().fields;
    const auto at = std::find(columns.begin(), columns.end(), column);
    return at == columns.end() ? "" : rows_[row + 1].fields[at - columns.begin()];
  }

 private:
  const std::string name_;
  const std::vector<CsvRow> rows_;
};

using RowsByCategory = std::map<std::string, std::vector<ListedSample>>;

std::vector<std::string> Keys(const RowsByCategory& rows) {
  std::vector<std::string> keys;
  for (const auto& [category, listed] : rows) keys.push_back(category);
  return keys;
}

// Kinds of defects by picture, from VisA's CATEGORY/image_anno.csv.
std::map<std::string, std::string> VisaDefects(DatasetTree& tree, const std::string& category,
                                               const DatasetOptions& options) {
  std::map<std::string, std::string> defects;
  if (!tree.IsFolder(category)) return defects;
  if (!tree.List(category).HasFile("image_anno.csv")) return defects;
  const CsvTable table(tree, category + "/image_anno.csv", options);
  table.CheckColumns({"image", "label"}, {"mask"});
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string label = table.Get(row, "label");
    if (!label.empty() && label != "normal") defects[table.Get(row, "image")] = label;
  }
  return defects;
}

std::string ParseLabel(const std::string& label, const std::string& where) {
  const std::string lower = ToLowerAscii(label);
  if (lower == "good" || lower == "normal" || lower == "ok") return "";
  if (label.empty() || label == "0" || label == "1") {
    RefuseDataset("CSV_LABEL", where + ": the label " + Quote(label) +
                                   " could mean either; write \"good\" or the kind of defect");
  }
  return label;
}

}  // namespace

Split ParseSplit(const std::string& text, const std::string& where) {
  if (text == "train") return Split::kTrain;
  if (text == "test") return Split::kTest;
  RefuseDataset("DATASET_SPLIT",
                where + ": the split " + Quote(text) + " is neither \"train\" nor \"test\"");
}

Sample MakeSample(const DatasetTree& tree, const ListedSample& listed) {
  const bool good = listed.defect.empty();
  if (!good && listed.split == Split::kTrain) {
    RefuseDataset("TRAIN_NOT_GOOD", listed.where + ": the picture " + Quote(listed.image) +
                                        " is defective (" + Quote(listed.defect) +
                                        "): training takes good pictures only; its split must be "
                                        "\"test\"");
  }
  if (listed.image.empty() && !listed.mask.empty()) {
    RefuseDataset("MASK_WITHOUT_PICTURE",
                  listed.where + ": the mask " + Quote(listed.mask) + " has no picture");
  }
  if (good && !listed.mask.empty()) {
    RefuseDataset("MASK_OF_GOOD", listed.where + ": the picture " + Quote(listed.image) +
                                      " is good but has the mask " + Quote(listed.mask));
  }
  Sample sample{.path = tree.Resolve(listed.image, listed.where),
                .name = DatasetTree::Normal(listed.image),
                .category = listed.category,
                .split = listed.split,
                .good = good,
                .defect = listed.defect,
                .mask = std::nullopt};
  if (!IsPictureName(sample.name)) {
    RefuseDataset("DATASET_NOT_A_PICTURE",
                  listed.where + ": " + Quote(sample.name) +
                      " is not a picture: PNG, JPEG, BMP, TIFF and WebP files are, by their names");
  }
  if (!listed.mask.empty()) sample.mask = tree.Resolve(listed.mask, listed.where + " (mask)");
  return sample;
}

DatasetLayout CsvLayout(DatasetTree& tree, const std::string& list, const DatasetOptions& options) {
  const CsvTable table(tree, list, options);
  table.CheckColumns({"path", "label", "split"}, {"mask", "category"});
  auto rows = std::make_shared<RowsByCategory>();
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
                                 .defect = ParseLabel(table.Get(row, "label"), where)});
  }
  return {.format = DatasetFormat::kCsv,
          .categories = Keys(*rows),
          .read = [&tree, rows](const std::string& category, std::vector<Sample>& samples) {
            for (const ListedSample& listed : rows->at(category))
              samples.push_back(MakeSample(tree, listed));
          }};
}

DatasetLayout VisaLayout(DatasetTree& tree, const DatasetOptions& options) {
  if (!tree.IsFolder("split_csv") || !tree.List("split_csv").HasFile("1cls.csv")) {
    RefuseDataset("DATASET_LAYOUT", Quote(tree.root().string()) + " looks like VisA but has no " +
                                        kVisaSplit + ", which says what is for training");
  }
  const CsvTable table(tree, kVisaSplit, options);
  table.CheckColumns({"object", "split", "label", "image", "mask"}, {});
  auto rows = std::make_shared<RowsByCategory>();
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string where = table.Where(row);
    const std::string label = table.Get(row, "label");
    if (label != "normal" && label != "anomaly") {
      RefuseDataset("CSV_LABEL", where + ": the label " + Quote(label) +
                                     " is neither \"normal\" nor \"anomaly\"");
    }
    const std::string category = table.Get(row, "object");
    (*rows)[category].push_back({.where = where,
                                 .image = table.Get(row, "image"),
                                 .mask = table.Get(row, "mask"),
                                 .category = category,
                                 .split = ParseSplit(table.Get(row, "split"), where),
                                 .defect = label == "normal" ? "" : label});
  }
  return {
      .format = DatasetFormat::kVisa,
      .categories = Keys(*rows),
      .read = [&tree, rows, options](const std::string& category, std::vector<Sample>& samples) {
        const std::map<std::string, std::string> defects = VisaDefects(tree, category, options);
        for (ListedSample listed : rows->at(category)) {
          const auto defect = defects.find(listed.image);
          const bool defective = !listed.defect.empty();
          if (defective && listed.mask.empty()) {
            RefuseDataset("MASK_MISSING", listed.where + ": the defective picture " +
                                              Quote(listed.image) + " has no mask");
          }
          if (defective && defect != defects.end()) listed.defect = defect->second;
          samples.push_back(MakeSample(tree, listed));
        }
      }};
}

}  // namespace proad::model
