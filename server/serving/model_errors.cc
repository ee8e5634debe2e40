#include "server/serving/model_errors.h"

#include <cerrno>
#include <exception>
#include <new>

#include "model/files/error.h"
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
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status StatusOfCurrentException() {
  try {
    throw;
  } catch (const model::InvalidInput& error) {
    return MakeError(absl::StatusCode::kInvalidArgument, error.what(),
                     {.reason = error.reason(), .field = error.field()});
  } catch (const model::CorruptFile& error) {
    return MakeError(absl::StatusCode::kDataLoss, error.what(), {.reason = "ARTIFACT_CORRUPT"});
  } catch (const model::FileError& error) {
    return MakeError(CodeOfErrno(error.error_number()), error.what(), {.reason = "FILE_ERROR"});
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "the server is out of memory",
                     {.reason = "OUT_OF_MEMORY"});
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  } catch (...) {
    return absl::InternalError("an exception of unknown type");
  }
}

}  // namespace proad::server
