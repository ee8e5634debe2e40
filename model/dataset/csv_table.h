// A CSV file of a dataset with named columns.
//
// No LibTorch. Immutable; safe to read from any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/dataset_root.h"
#include "model/files/csv.h"

namespace proad::model {

class CsvTable {
 public:
  // Reads the file `name` of the dataset. Throws InvalidInput (field "dataset") for an empty file
  // or one beyond the limits of `options`, and as ParseCsv does.
  CsvTable(DatasetRoot& root, const std::string& name, const DatasetOptions& options);

  // Throws InvalidInput (field "dataset") for a column that is missing, repeated or unknown.
  void CheckColumns(const std::vector<std::string>& required,
                    const std::vector<std::string>& optional) const;

  // Rows without the header.
  size_t size() const { return rows_.size() - 1; }
  // File and line of a row, for messages.
  std::string Where(size_t row) const;
  // "" if there is no such column.
  std::string Get(size_t row, const std::string& column) const;

 private:
  const std::string name_;
  const std::vector<CsvRow> rows_;
};

}  // namespace proad::model
