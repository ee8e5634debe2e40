// Why a training job failed, as the trainer writes it into error.json.
//
//   cause                                          code              field
//   InvalidInput of model/                         INVALID_SPEC      the exception's
//   DatasetChanged                                 DATASET_CHANGED
//   InvalidImage                                   UNREADABLE_IMAGE
//   NonFiniteLoss                                  NON_FINITE_LOSS
//   CorruptFile, DATA_LOSS                         DATA_LOSS
//   full disk, quota or file size limit            DISK_FULL
//   no memory, of the process or of the device     OUT_OF_MEMORY
//   anything else                                  INTERNAL
//
// Pure functions: safe to call from any thread.
#pragma once

#include "absl/status/status.h"
#include "server/jobs/job_files.h"

namespace proad::server {

JobError JobErrorOf(const absl::Status& status);

// Call inside a catch block.
JobError JobErrorOfCurrentException();

}  // namespace proad::server
