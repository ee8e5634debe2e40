// A training job: what was asked for, and where it is in its life.
//
// Plain values and pure functions; safe to use from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "model/spec/train_spec.h"
#include "model/training/train_run.h"

namespace proad::server {

// What was asked for, in the words of who asked; `train` is the same with everything resolved, and
// all that the trainer needs. Never changes once the job is acknowledged.
struct JobSpec {
  model::TrainSpec train;
  std::string dataset_path;  // below the data root, as given; or ...
  std::string dataset_id;    // ... an uploaded dataset
  std::string encoder;       // name
  std::string init_from;     // "name@version"; "" for fresh weights
  bool activate_on_success = false;
  std::map<std::string, std::string> labels;
  // Of the request as it came, to tell a repeated one from another: what it resolves to changes
  // with the dataset and the active version.
  std::string request_digest;

  bool operator==(const JobSpec&) const = default;
};

enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kCancelled };

// "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED".
const char* NameOf(JobState state);

// SUCCEEDED, FAILED and CANCELLED.
bool HasEnded(JobState state);

// Which state may follow which:
//   QUEUED -> RUNNING, CANCELLED          RUNNING -> SUCCEEDED, FAILED, CANCELLED, QUEUED (its
//   FAILED, CANCELLED -> QUEUED           process is gone and there is no room for another)
bool CanMove(JobState from, JobState to);

// How far the job is, as its process last said.
struct JobProgress {
  model::TrainProgress train;
  absl::Duration elapsed;  // over all attempts
};

// What became of activate_on_success.
struct Activation {
  bool activated = false;
  std::string reason;  // why not; "" when it was

  bool operator==(const Activation&) const = default;
};

// A job as it is at one moment.
struct TrainJob {
  std::string id;
  std::string request_id;  // "": none
  JobSpec spec;
  JobState state = JobState::kQueued;
  std::string reason;       // why FAILED or CANCELLED, in words
  std::string reason_code;  // the same for machines, UPPER_SNAKE_CASE
  absl::Time created = absl::InfinitePast();
  absl::Time started = absl::InfinitePast();  // InfinitePast: it never ran
  absl::Time ended = absl::InfinitePast();    // InfinitePast: it has not
  absl::Time updated = absl::InfinitePast();
  int queue_position = 0;  // jobs before it, while QUEUED
  int attempts = 0;
  std::optional<JobProgress> progress;
  // Once the version is published; the scores of single pictures stay in the job's result.json.
  std::optional<model::TrainOutcome> outcome;
  std::optional<Activation> activation;  // once it was tried, or refused
};

}  // namespace proad::server
