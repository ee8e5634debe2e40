// Text that comes from outside: how to show it in a message, whether it is UTF-8, and lower case.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <string_view>

namespace proad::model {

// `text` in double quotes for a message. The result is plain ASCII: other characters are escaped as
// in JSON. At most 120 bytes of `text` are shown; a cut text ends in "..".
std::string Quote(std::string_view text);

bool IsUtf8(std::string_view text);

// A-Z become a-z; all other bytes stay.
std::string ToLowerAscii(std::string_view text);

}  // namespace proad::model
