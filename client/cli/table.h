// Tables of UTF-8 text for a terminal. Pure functions and a value.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace proad::client {

// Returns the columns that a terminal needs for the text. Wide East Asian characters need two columns,
// combining characters none.
size_t DisplayWidth(const std::string& text);

// Returns the text with '?' instead of control characters and of bytes that are not UTF-8. Print
// names only in this form: a file name can contain escape sequences for the terminal.
std::string Printable(const std::string& text);

struct Column {
  std::string title;
  size_t width = 0;    // minimum; at least the width of the title
  bool right = false;  // align right, for numbers
};

// Formats lines with columns of fixed widths, two spaces apart. The widths are fixed before the first
// row, so that rows can be printed one by one. A cell that is too wide shifts the rest of its line.
class Table {
 public:
  explicit Table(std::vector<Column> columns);

  std::string Header() const;
  // Formats one row. Missing cells are empty. No newline and no trailing spaces.
  std::string Row(const std::vector<std::string>& cells) const;

 private:
  std::vector<Column> columns_;
};

// Formats a complete table, with each column as wide as its widest cell. Each line ends with a newline.
std::string Format(std::vector<Column> columns, const std::vector<std::vector<std::string>>& rows);

}  // namespace proad::client
