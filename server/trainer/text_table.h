// Figures in columns, for people. Pure functions; safe to call from any thread.
#pragma once

#include <string>
#include <vector>

namespace proad::server {

// The text with control characters, which would move a terminal's cursor, replaced by '?'.
std::string Printable(const std::string& text);

// Lines of equal columns, two spaces apart: the first to the left, the others to the right. Rows
// may be shorter than the first. UTF-8, one column a character.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace proad::server
