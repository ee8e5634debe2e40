#include "server/util/file_errors.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"

namespace proad::server {

absl::Status FileFailed(const std::filesystem::path& path, absl::string_view action,
                        int error_number) {
  const std::string message =
      absl::StrCat(path.string(), ": cannot ", action, ": ", strerror(error_number));
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
    return MakeError(absl::StatusCode::kResourceExhausted, message, {.reason = "DISK_FULL"});
  }
  return absl::InternalError(message);
}

}  // namespace proad::server
