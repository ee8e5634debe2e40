// Formats protobuf messages as JSON, with the field names of the protos.
#pragma once

#include <google/protobuf/message.h>

#include <string>

namespace proad::client {

enum class JsonLayout {
  kLine,   // one line with all fields, for programs
  kLines,  // indented, with the set fields only, for people
};

// Ends with a newline.
std::string ToJson(const google::protobuf::Message& message, JsonLayout layout = JsonLayout::kLine);

}  // namespace proad::client
