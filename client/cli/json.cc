#include "client/cli/json.h"

#include <google/protobuf/util/json_util.h>

namespace proad::client {

std::string ToJson(const google::protobuf::Message& message, JsonLayout layout) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = layout == JsonLayout::kLines;
  options.always_print_primitive_fields = layout == JsonLayout::kLine;
  std::string json;
  // Fails only for an Any of unknown type, which these messages do not contain.
  (void)google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!json.ends_with('\n')) json.push_back('\n');
  return json;
}

}  // namespace proad::client
