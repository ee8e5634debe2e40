// A parser for comma-separated values (RFC 4180) that come from outside. A field in double quotes
// may contain commas, line breaks and doubled quotes.
//
// No LibTorch. A plain value and a pure function; safe to call from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proad::model {

struct CsvRow {
  int64_t line = 0;  // on which the row begins; the first is 1
  std::vector<std::string> fields;
};

struct CsvLimits {
  size_t rows = 2'000'000;
  size_t columns = 64;
};

// Parses UTF-8 text. Accepts a byte-order mark, empty lines, and LF or CRLF line ends. Fields are
// separated by the comma, semicolon or tab that the first row has outside of quotes. Every row must
// have as many fields as the first. Throws InvalidInput (field "dataset", CSV_DAMAGED) that names
// `source` and the line.
std::vector<CsvRow> ParseCsv(std::string_view text, const std::string& source,
                             const CsvLimits& limits = {});

}  // namespace proad::model
