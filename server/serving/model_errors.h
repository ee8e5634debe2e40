// The exceptions of model/ as statuses, for whoever reads stored versions.
#pragma once

#include "absl/status/status.h"

namespace proad::server {

// Call inside a catch block.
//   InvalidInput    INVALID_ARGUMENT with its field and reason as details
//   CorruptFile     DATA_LOSS (ARTIFACT_CORRUPT)
//   FileError       NOT_FOUND, PERMISSION_DENIED, RESOURCE_EXHAUSTED (disk full, too many files) or
//   INTERNAL std::bad_alloc  RESOURCE_EXHAUSTED (OUT_OF_MEMORY) anything else   INTERNAL
absl::Status StatusOfCurrentException();

}  // namespace proad::server
