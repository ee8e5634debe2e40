// VisA as it was published: CATEGORY/Data/Images and the list split_csv/1cls.csv.
#include <map>
#include <memory>
#include <utility>

#include "model/dataset/csv_table.h"
#include "model/dataset/dataset_layout.h"
#include "model/dataset/label_words.h"
#include "model/dataset/listed_sample.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

constexpr char kSplitList[] = "split_csv/1cls.csv";

// The kind of defect of each image, from CATEGORY/image_anno.csv.
std::map<std::string, std::string> ReadDefects(DatasetRoot& root, const std::string& category,
                                               const DatasetOptions& options) {
  std::map<std::string, std::string> defects;
  if (!root.IsFolder(category)) return defects;
  if (!root.List(category).HasFile("image_anno.csv")) return defects;
  const CsvTable table(root, category + "/image_anno.csv", options);
  table.CheckColumns({"image", "label"}, {"mask"});
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string label = table.Get(row, "label");
    if (!label.empty() && ReadLabelWord(label) != LabelWord::kGood)
      defects[table.Get(row, "image")] = label;
  }
  return defects;
}

}  // namespace

DatasetLayout OpenVisaLayout(const DatasetEntry& entry) {
  DatasetRoot& root = entry.root;
  if (!root.IsFolder("split_csv") || !root.List("split_csv").HasFile("1cls.csv")) {
    RefuseDataset("DATASET_LAYOUT", Quote(root.path().string()) + " looks like VisA but has no " +
                                        kSplitList + ", which names the training images");
  }
  const CsvTable table(root, kSplitList, entry.options);
  table.CheckColumns({"object", "split", "label", "image", "mask"}, {});
  auto rows = std::make_shared<std::map<std::string, std::vector<ListedSample>>>();
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string where = table.Where(row);
    const std::string label = table.Get(row, "label");
    const LabelWord meaning = ReadLabelWord(label);
    if (meaning != LabelWord::kGood && meaning != LabelWord::kDefective) {
      RefuseDataset("CSV_LABEL", where + ": the label " + Quote(label) +
                                     " is neither \"normal\" nor \"anomaly\"");
    }
    const std::string category = table.Get(row, "object");
    (*rows)[category].push_back({.where = where,
                                 .image = table.Get(row, "image"),
                                 .mask = table.Get(row, "mask"),
                                 .category = category,
                                 .split = ParseSplit(table.Get(row, "split"), where),
                                 .defect = meaning == LabelWord::kGood ? "" : label,
                                 .label = label});
  }
  std::vector<std::string> categories;
  for (const auto& [category, listed] : *rows) categories.push_back(category);
  return {.categories = std::move(categories),
          .read = [&root, rows, options = entry.options](const std::string& category,
                                                         std::vector<Sample>& samples) {
            const std::map<std::string, std::string> defects = ReadDefects(root, category, options);
            for (ListedSample listed : rows->at(category)) {
              const auto defect = defects.find(listed.image);
              const bool defective = !listed.defect.empty();
              if (defective && listed.mask.empty()) {
                RefuseDataset("MASK_MISSING", listed.where + ": the defective image " +
                                                  Quote(listed.image) + " has no mask");
              }
              if (defective && defect != defects.end()) listed.defect = defect->second;
              samples.push_back(MakeSample(root, listed));
            }
          }};
}

}  // namespace proad::model
