// Formats the values of a training job. Pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

// "QUEUED", "RUNNING", ...
std::string StateName(proad::v1::TrainJobState state);

// The job's phase or state: "queued, 2 before it", "training", "succeeded".
std::string Activity(const proad::v1::TrainJob& job);

// "name@version"
std::string VersionName(const proad::v1::ModelVersion& version);

// The dataset: the path as sent, or "uploaded ID".
std::string DatasetName(const proad::v1::TrainJobSpec& spec);

// "45s", "1m20s", "2h05m", "3d04h": at most two units.
std::string ShortDuration(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& duration);

// "2026-11-23 20:10" in UTC; "-" when not set.
std::string UtcMinute(const google::protobuf::Timestamp& time);

// The job's progress for a terminal of `width` columns: activity, epoch, bar, steps, loss, learning
// rate, speed and remaining time. Omits the least important values until the line fits into
// width - 1 columns. Contains no characters that move the cursor.
std::string ProgressBar(const proad::v1::TrainJob& job, size_t width);

// The same with all values and without the bar, for a log.
std::string ProgressText(const proad::v1::TrainJob& job);

}  // namespace proad::client
