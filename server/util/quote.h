// Texts of others inside messages.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace proad::server {

// `text` in double quotes, everything but printable ASCII escaped, cut after 80 bytes: safe in a
// message, however long and whatever it holds.
std::string Quote(absl::string_view text);

// "a, b, c and 4 more", or "none".
std::string Enumerate(const std::vector<std::string>& names);

}  // namespace proad::server
