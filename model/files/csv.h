// Comma-separated values from outside, as RFC 4180 has them: fields may stand in double quotes and
// then hold commas, line breaks and doubled quotes.
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
  int64_t line = 0;  // that the row begins on, from 1
  std::vector<std::string> fields;
};

struct CsvLimits {
  size_t rows = 2'000'000;
  size_t columns = 64;
};

// Parses UTF-8 text; a byte-order mark, lines that are empty and either kind of line end are fine.
// Fields are separated by the comma, semicolon or tab that the first row has outside of quotes.
// Every row has as many fields as the first. Throws InvalidInput (field "dataset", CSV_DAMAGED)
// naming `source` and the line.
std::vector<CsvRow> ParseCsv(std::string_view text, const std::string& source,
                             const CsvLimits& limits = {});

}  // namespace proad::model
