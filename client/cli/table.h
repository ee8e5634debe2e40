// Text in columns, for people. UTF-8; widths are those of a terminal. Pure functions and a value.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace proad::client {

// Columns that a terminal needs for the text: wide East Asian characters two, combining ones none.
size_t DisplayWidth(const std::string& text);

// The text with what would move a terminal's cursor replaced by '?': control characters, and bytes
// that are not UTF-8. File names may hold anything.
std::string Printable(const std::string& text);

struct Column {
  std::string title;
  size_t width = 0;    // at least the title's
  bool right = false;  // numbers
};

// Makes lines of equal columns, two spaces apart. A cell that is too wide pushes its line out. The
// widths are known before the first row, so rows can be printed as they come.
class Table {
 public:
  explicit Table(std::vector<Column> columns);

  std::string Header() const;
  // One cell a column, missing ones empty. No newline, no trailing spaces.
  std::string Row(const std::vector<std::string>& cells) const;

 private:
  std::vector<Column> columns_;
};

// The whole table, each column as wide as its widest cell. One line each, with newlines.
std::string Format(std::vector<Column> columns, const std::vector<std::vector<std::string>>& rows);

}  // namespace proad::client
