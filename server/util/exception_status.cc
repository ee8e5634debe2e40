#include "server/util/exception_status.h"

#include <cerrno>
#include <exception>
#include <filesystem>
#include <new>

#include "model/files/error.h"
#include "model/spec/non_finite_loss.h"
#include "server/util/file_errors.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

TranslatedException OfInput(ExceptionKind kind, const model::InvalidInput& error) {
  return {kind, MakeError(absl::StatusCode::kInvalidArgument, error.what(),
                          {.reason = error.reason(), .field = error.field()})};
}

TranslatedException OfFile(int error_number, absl::string_view message) {
  ExceptionKind kind = ExceptionKind::kFile;
  if (IsDiskFull(error_number)) kind = ExceptionKind::kDiskFull;
  if (error_number == ENOMEM) kind = ExceptionKind::kOutOfMemory;
  return {kind, StatusOfErrno(error_number, message)};
}

}  // namespace

TranslatedException TranslateCurrentException() {
  try {
    throw;
  } catch (const model::InvalidImage& error) {
    return OfInput(ExceptionKind::kInvalidImage, error);
  } catch (const model::DatasetChanged& error) {
    return OfInput(ExceptionKind::kDatasetChanged, error);
  } catch (const model::NonFiniteScore& error) {
    return OfInput(ExceptionKind::kNonFiniteScore, error);
  } catch (const model::InvalidInput& error) {
    return OfInput(ExceptionKind::kInvalidInput, error);
  } catch (const model::NonFiniteLoss& error) {
    return {ExceptionKind::kNonFiniteLoss, MakeError(absl::StatusCode::kInternal, error.what(),
                                                     {.reason = reason::kNonFiniteLoss})};
  } catch (const model::CorruptFile& error) {
    return {ExceptionKind::kCorruptFile, MakeError(absl::StatusCode::kDataLoss, error.what(),
                                                   {.reason = reason::kArtifactCorrupt})};
  } catch (const model::FileError& error) {
    return OfFile(error.error_number(), error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return OfFile(error.code().value(), error.what());
  } catch (const std::bad_alloc&) {
    return {ExceptionKind::kOutOfMemory,
            MakeError(absl::StatusCode::kResourceExhausted, "the process is out of memory",
                      {.reason = reason::kOutOfMemory})};
  } catch (const std::exception& error) {
    return {ExceptionKind::kUnknown, absl::InternalError(error.what())};
  } catch (...) {
    return {ExceptionKind::kUnknown, absl::InternalError("an exception of unknown type")};
  }
}

absl::Status StatusOfCurrentException() { return TranslateCurrentException().status; }

}  // namespace proad::server
