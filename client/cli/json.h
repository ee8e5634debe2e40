// Messages of the contract as JSON, with the contract's own field names.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace proad::client {

enum class JsonLayout {
  kLine,   // one line, every field on it: for machines
  kLines,  // indented, what is set: for people
};

// With a newline at the end.
std::string ToJson(const google::protobuf::Message& message, JsonLayout layout = JsonLayout::kLine);

}  // namespace proad::client
