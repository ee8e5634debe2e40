// Converts a training job to its message. Pure: safe to call from any thread.
#pragma once

#include <proad/v1/training.pb.h>

#include "server/jobs/train_job.h"

namespace proad::server {

// Fills all fields of the job, its spec with defaults filled in.
void FillTrainJob(const TrainJob& job, v1::TrainJob& message);

}  // namespace proad::server
