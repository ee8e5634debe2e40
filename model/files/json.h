// A parser for JSON text that comes from outside. Only .cc files should include this header,
// because it includes the JSON library.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace proad::model {

struct JsonLimits {
  int depth = 8;               // of nested objects and arrays
  size_t array_length = 4096;  // elements of one array
};

// Parses one JSON value, UTF-8. Throws CorruptFile for text that is not JSON (the message names the
// byte), for a key that one object holds twice, and for a value beyond the limits.
nlohmann::json ParseStrictJson(std::string_view text, const std::string& source,
                               const JsonLimits& limits = {});

}  // namespace proad::model
