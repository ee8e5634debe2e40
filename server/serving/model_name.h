// The name of a model version, "name@version", and the order of versions.
//
// Pure functions: safe to call from any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// A parsed "name" or "name@version".
struct ModelName {
  std::string name;
  std::string version;  // "": the active version of the name

  // INVALID_ARGUMENT (field "model", MODEL_NAME_INVALID).
  static absl::StatusOr<ModelName> Parse(absl::string_view text);
};

// "name@version".
std::string FullName(absl::string_view name, absl::string_view version);

// Orders versions: runs of digits by their value, other characters by their code. "9" < "10" and
// "1.9" < "1.10".
bool VersionLess(absl::string_view a, absl::string_view b);

}  // namespace proad::server
