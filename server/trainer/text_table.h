// Tables for a terminal. Pure functions; safe to call from any thread.
#pragma once

#include <string>
#include <vector>

namespace proad::server {

// The text with its control characters replaced by '?', since they could move the cursor.
std::string Printable(const std::string& text);

// Lines with aligned columns, two spaces apart; the first column is aligned to the left, the others
// to the right. Rows may be shorter than the first. The text is UTF-8; each character takes one
// column.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace proad::server
