#include "client/cli/table.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace proad::client {
namespace {

// One character of a text, or one byte that belongs to no valid character.
struct Character {
  uint32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

Character Next(const std::string& text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  if (first < 0x80) return {first, 1, true};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return {};
  uint32_t code = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(at + i) & 0x3fu);
  }
  return {code, length, true};
}

bool Within(uint32_t code, uint32_t low, uint32_t high) { return code >= low && code <= high; }

// Covers the Unicode blocks that are common in file names, not all of Unicode.
size_t Width(uint32_t code) {
  if (Within(code, 0x300, 0x36f) || Within(code, 0x200b, 0x200f) || Within(code, 0xfe00, 0xfe0f)) {
    return 0;
  }
  const bool wide = Within(code, 0x1100, 0x115f) || Within(code, 0x2e80, 0xa4cf) ||
                    Within(code, 0xac00, 0xd7a3) || Within(code, 0xf900, 0xfaff) ||
                    Within(code, 0xfe30, 0xfe6f) || Within(code, 0xff00, 0xff60) ||
                    Within(code, 0x1f300, 0x1faff) || Within(code, 0x20000, 0x3fffd);
  return wide ? 2 : 1;
}

bool IsControl(uint32_t code) { return code < 0x20 || Within(code, 0x7f, 0x9f); }

}  // namespace

size_t DisplayWidth(const std::string& text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    const Character character = Next(text, at);
    width += character.valid ? Width(character.code) : 1;
    at += character.bytes;
  }
  return width;
}

std::string Printable(const std::string& text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const Character character = Next(text, at);
    if (character.valid && !IsControl(character.code)) {
      result.append(text, at, character.bytes);
    } else {
      result.push_back('?');
    }
    at += character.bytes;
  }
  return result;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_) column.width = std::max(column.width, DisplayWidth(column.title));
}

std::string Table::Header() const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  return Row(titles);
}

std::string Table::Row(const std::vector<std::string>& cells) const {
  std::string line;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const std::string cell = i < cells.size() ? cells[i] : "";
    const size_t width = DisplayWidth(cell);
    const std::string gap(columns_[i].width > width ? columns_[i].width - width : 0, ' ');
    if (i > 0) line += "  ";
    line += columns_[i].right ? gap + cell : cell + gap;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string Format(std::vector<Column> columns, const std::vector<std::vector<std::string>>& rows) {
  for (const auto& row : rows) {
    for (size_t i = 0; i < std::min(row.size(), columns.size()); ++i) {
      columns[i].width = std::max(columns[i].width, DisplayWidth(row[i]));
    }
  }
  const Table table(std::move(columns));
  std::string text = table.Header() + "\n";
  for (const auto& row : rows) text += table.Row(row) + "\n";
  return text;
}

}  // namespace proad::client
