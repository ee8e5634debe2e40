// JSON from outside, parsed without surprises. To be included by .cc files only: it pulls in the
// JSON library.
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

// Parses one JSON value, UTF-8. Throws CorruptFile, naming the byte, for anything that is not JSON,
// for a key that an object holds twice, and beyond the limits.
nlohmann::json ParseStrictJson(std::string_view text, const std::string& source,
                               const JsonLimits& limits = {});

// `text` in quotes for a message: escaped to plain ASCII and cut to a readable length, whatever is
// in it.
std::string Quote(std::string_view text);

bool IsUtf8(std::string_view text);

}  // namespace proad::model
