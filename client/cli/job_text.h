// A training job in a line, for people. Pure functions.
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

// What the job does: "queued, 2 before it", "training", "succeeded".
std::string Activity(const proad::v1::TrainJob& job);

// "name@version"
std::string VersionName(const proad::v1::ModelVersion& version);

// What it trains on: the path as sent, or "uploaded ID".
std::string DatasetName(const proad::v1::TrainJobSpec& spec);

// "45s", "1m20s", "2h05m", "3d04h": two units at most.
std::string ShortDuration(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& duration);

// "2026-11-23 20:10" in UTC; "-" when it is not set.
std::string UtcMinute(const google::protobuf::Timestamp& time);

// How far the job is, for a terminal of `width` columns: activity, epoch, bar, steps, loss,
// learning rate, speed and time left. What matters least is left out until it fits into one column
// less; characters that would move the cursor are not in it.
std::string ProgressBar(const proad::v1::TrainJob& job, size_t width);

// The same without bar, whole: a line of a log.
std::string ProgressText(const proad::v1::TrainJob& job);

}  // namespace proad::client
