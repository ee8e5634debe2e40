// A training job: its specification, its state and what callers see of it.
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

// What the request asked for. `train` is the same with all names and defaults resolved, and is all
// that the trainer needs. It never changes after Create has returned.
struct JobSpec {
  model::TrainSpec train;
  std::string dataset_path;  // relative to the data root, as requested; or ...
  std::string dataset_id;    // ... an uploaded dataset
  std::string encoder;       // name
  std::string init_from;     // "name@version"; "" for fresh weights
  bool activate_on_success = false;
  std::map<std::string, std::string> labels;
  // Digest of the request as received. A repeated request has the same digest, although it may
  // resolve to another specification when the dataset or the active version has changed.
  std::string request_digest;
  // A random id that `proad-trainer plan` makes, and that the published version names as its job.
  // Absent in a job of a server, whose id is the name of its directory.
  std::optional<std::string> id;

  bool operator==(const JobSpec&) const = default;
};

enum class JobState { kQueued, kRunning, kSucceeded, kFailed, kCancelled };

// "QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED".
const char* NameOf(JobState state);

// SUCCEEDED, FAILED and CANCELLED.
bool HasEnded(JobState state);

// Whether a job may go from one state to the other. ScheduledJob::Replace enforces this table:
//   QUEUED -> RUNNING              a slot is free
//   QUEUED, RUNNING -> CANCELLED   CancelTrainJob
//   QUEUED, RUNNING -> FAILED      damaged files; RUNNING: also an error or too many crashes
//   RUNNING -> SUCCEEDED           its version is published
//   RUNNING -> QUEUED              its trainer crashed, and it has no slot
//   FAILED, CANCELLED -> QUEUED    ResumeTrainJob
// SUCCEEDED is final.
bool CanMove(JobState from, JobState to);

// The last report of the job's trainer.
struct JobProgress {
  model::TrainProgress train;
  absl::Duration elapsed;  // over all attempts
};

// The result of activate_on_success.
struct Activation {
  bool activated = false;
  std::string reason;  // why it was not activated; "" when it was

  bool operator==(const Activation&) const = default;
};

// A job at one moment, as Get and List return it.
struct TrainJob {
  std::string id;
  std::string request_id;  // "": none
  JobSpec spec;
  JobState state = JobState::kQueued;
  std::string reason;       // why the job FAILED or was CANCELLED, for people
  std::string reason_code;  // the same for programs, UPPER_SNAKE_CASE
  absl::Time created = absl::InfinitePast();
  absl::Time started = absl::InfinitePast();  // InfinitePast: never
  absl::Time ended = absl::InfinitePast();    // InfinitePast: not yet
  absl::Time updated = absl::InfinitePast();
  int queue_position = 0;  // jobs before it, while QUEUED
  int attempts = 0;
  std::optional<JobProgress> progress;
  // Set once the version is published. The scores of single images are only in result.json.
  std::optional<model::TrainOutcome> outcome;
  std::optional<Activation> activation;  // set once it was tried, or the gate refused it
};

}  // namespace proad::server
