#include "model/dataset/csv_table.h"

#include <algorithm>
#include <utility>

#include "model/files/text.h"

namespace proad::model {
namespace {

constexpr size_t kMaxNamedColumns = 8;

// The first columns of a header in quotes, for a message.
std::string NamesOf(const std::vector<std::string>& columns) {
  std::string names;
  for (size_t i = 0; i < std::min(columns.size(), kMaxNamedColumns); ++i) {
    names += (i == 0 ? "" : ", ") + Quote(columns[i]);
  }
  return names + (columns.size() > kMaxNamedColumns ? ", ..." : "");
}

}  // namespace

CsvTable::CsvTable(DatasetRoot& root, const std::string& name, const DatasetOptions& options)
    : name_(name),
      rows_(ParseCsv(root.ReadList(name, options.max_list_bytes), name,
                     {.rows = options.max_files + 1})) {
  if (rows_.empty()) RefuseDataset("DATASET_EMPTY", name_ + ": the file is empty");
  root.Count(rows_.size() - 1);
}

void CsvTable::CheckColumns(const std::vector<std::string>& required,
                            const std::vector<std::string>& optional) const {
  const std::vector<std::string>& columns = rows_.front().fields;
  for (const std::string& column : required) {
    if (std::count(columns.begin(), columns.end(), column) == 0)
      RefuseDataset("CSV_COLUMN", name_ + ":1: the column \"" + column +
                                      "\" is missing; the header has " + NamesOf(columns));
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
                                    (known ? " occurs twice" : " is unknown") + "; columns are " +
                                    names);
  }
}

std::string CsvTable::Where(size_t row) const {
  return name_ + ":" + std::to_string(rows_[row + 1].line);
}

std::string CsvTable::Get(size_t row, const std::string& column) const {
  const std::vector<std::string>& columns = rows_.front().fields;
  const auto at = std::find(columns.begin(), columns.end(), column);
  return at == columns.end() ? "" : rows_[row + 1].fields[at - columns.begin()];
}

}  // namespace proad::model
