#include "model/files/text.h"

#include <nlohmann/json.hpp>

namespace proad::model {

using nlohmann::json;

std::string Quote(std::string_view text) {
  constexpr size_t kReadable = 120;
  const bool cut = text.size() > kReadable;
  return json(text.substr(0, kReadable)).dump(-1, ' ', true, json::error_handler_t::replace) +
         (cut ? ".." : "");
}

bool IsUtf8(std::string_view text) {
  try {
    json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string ToLowerAscii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace proad::model
