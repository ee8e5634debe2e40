#include "server/util/whole_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <ios>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace proad::server {

absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path, size_t max_bytes) {
  const auto unreadable = [&](absl::string_view why) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read: ", why));
  };
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  // Neither a directory nor a pipe, which may never end. A missing file has its own message.
  if (type != std::filesystem::file_type::regular) {
    return unreadable(error ? error.message() : "is not a regular file");
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return unreadable(strerror(errno));
  std::string bytes(max_bytes + 1, '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (in.bad()) return unreadable(strerror(errno));
  bytes.resize(static_cast<size_t>(in.gcount()));
  if (bytes.size() > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": is larger than ", max_bytes, " bytes"));
  }
  return bytes;
}

}  // namespace proad::server
