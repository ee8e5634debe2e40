// Text as a CSV file: an error, or rows that are written in quotes and read back equal.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/csv.h"
#include "model/files/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proad::model;
  std::vector<CsvRow> rows;
  try {
    rows = ParseCsv(std::string_view(reinterpret_cast<const char*>(data), size), "input");
  } catch (const InvalidInput&) {
    return 0;
  }
  std::string text;
  for (const CsvRow& row : rows) {
    std::string line;
    for (const std::string& field : row.fields) {
      line += line.empty() ? "\"" : ",\"";
      for (const char c : field) line += c == '"' ? std::string("\"\"") : std::string(1, c);
      line += '"';
    }
    text += line + "\r\n";
  }
  const std::vector<CsvRow> back = ParseCsv(text, "written");
  if (back.size() != rows.size()) std::abort();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (back[i].fields != rows[i].fields) std::abort();
  }
  return 0;
}
