// Text from outside inside messages.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace proad::server {

// `text` in double quotes, everything but printable ASCII escaped, cut after 80 bytes, so that any
// text is safe in a message.
std::string Quote(absl::string_view text);

// "a, b, c and 4 more", or "none".
std::string Enumerate(const std::vector<std::string>& names);

}  // namespace proad::server
