#include "server/util/file_errors.h"

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

absl::StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

const char* ReasonOfErrno(int error_number) {
  if (IsDiskFull(error_number)) return reason::kDiskFull;
  return error_number == ENOMEM ? reason::kOutOfMemory : reason::kFileError;
}

}  // namespace

bool IsDiskFull(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

absl::Status StatusOfErrno(int error_number, absl::string_view message) {
  return MakeError(CodeOfErrno(error_number), message, {.reason = ReasonOfErrno(error_number)});
}

absl::Status FileFailed(const std::filesystem::path& path, absl::string_view action,
                        int error_number) {
  return StatusOfErrno(
      error_number, absl::StrCat(path.string(), ": cannot ", action, ": ", strerror(error_number)));
}

}  // namespace proad::server
