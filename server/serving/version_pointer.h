// The pointer file of a model, STORE/NAME/active: the version that serves the model's name, and the
// version that served before it, each with the hash of its manifest.
//
//   format 2
//   active 3 SHA256
//   before 2 SHA256
//
// "start" in place of "active" names a version that no server has served yet. Without either line
// no version serves; without "before" no version served before. A hash may be missing: it is then
// not known. Format 1 has no hashes: the version in the first line, "before VERSION" in the second;
// an empty file means that no version serves. Format 1 is read but not written.
//
// Thread-safety: all functions may be called from any thread.
#pragma once

#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// A version and its contents.
struct PointedVersion {
  std::string version;  // "": none
  std::string hash;     // of its manifest, 64 hex digits; "": not known

  bool operator==(const PointedVersion&) const = default;
  // Whether both are the same version. An unknown hash matches every hash.
  bool Matches(const PointedVersion& other) const;
};

struct VersionPointer {
  PointedVersion active;
  PointedVersion before;
  // False: `active` is only the version with which a server will start. Running servers ignore it.
  bool activated = true;

  bool operator==(const VersionPointer&) const = default;

  // Format 2.
  std::string ToText() const;

  // Either format. DATA_LOSS names `source`.
  static absl::StatusOr<VersionPointer> Parse(absl::string_view text, absl::string_view source);

  // Reads a file. NOT_FOUND when there is none, DATA_LOSS as Parse, INTERNAL when it cannot be
  // read.
  static absl::StatusOr<VersionPointer> Read(const std::filesystem::path& file);
};

}  // namespace proad::server
