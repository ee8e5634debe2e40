// Exceptions of model/ as statuses: the only place that translates them.
//
// Pure functions: safe to call from any thread. Call them inside a catch block.
#pragma once

#include "absl/status/status.h"

namespace proad::server {

// The kind of an exception, for callers that treat kinds differently.
enum class ExceptionKind {
  kInvalidInput,
  kInvalidImage,
  kDatasetChanged,
  kNonFiniteScore,
  kNonFiniteLoss,
  kCorruptFile,
  kDiskFull,
  kOutOfMemory,
  kFile,     // any other failure of the file system
  kUnknown,  // anything else
};

struct TranslatedException {
  ExceptionKind kind;
  absl::Status status;
};

//   exception                code                reason            field
//   InvalidInput             INVALID_ARGUMENT    the exception's   the exception's
//   NonFiniteLoss            INTERNAL            NON_FINITE_LOSS
//   CorruptFile              DATA_LOSS           ARTIFACT_CORRUPT
//   FileError                as StatusOfErrno (server/util/file_errors.h)
//   std::filesystem_error    as StatusOfErrno
//   std::bad_alloc           RESOURCE_EXHAUSTED  OUT_OF_MEMORY
//   anything else            INTERNAL            none
TranslatedException TranslateCurrentException();

// TranslateCurrentException, the status only.
absl::Status StatusOfCurrentException();

}  // namespace proad::server
