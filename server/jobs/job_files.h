// The files of a job's directory JOBS/<id>/, which the server and the trainer share:
//
//   spec.json      the specification; written once, before Create returns
//   state.json     the server's record; the trainer does not read it
//   result.json    the trainer's result; the last file that it writes
//   error.json     why the trainer failed
//   progress.jsonl the trainer's progress (progress_file.h)
//   trainer.lock   locked by the trainer until it exits (trainer_process.h)
//   trainer.log    standard error of the last attempt
//   work/          files of the trainer: checkpoints, features
//
// Each JSON file is either complete or absent, is flushed to the disk, and is read strictly:
// unknown or missing fields are errors. The functions are safe to call from any thread and process;
// each file has one writer at a time. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/training/train_run.h"
#include "server/jobs/train_job.h"

namespace proad::server {

inline constexpr char kSpecFile[] = "spec.json";
inline constexpr char kStateFile[] = "state.json";
inline constexpr char kResultFile[] = "result.json";
inline constexpr char kErrorFile[] = "error.json";
inline constexpr char kProgressFile[] = "progress.jsonl";
inline constexpr char kLockFile[] = "trainer.lock";
inline constexpr char kLogFile[] = "trainer.log";
inline constexpr char kWorkDirectory[] = "work";

// What the server stores about a job beside its specification. ScheduledJob::Replace is the only
// way in which the scheduler changes the state.
struct JobRecord {
  std::string request_id;  // "": none
  JobState state = JobState::kQueued;
  std::string reason;
  std::string reason_code;
  absl::Time created = absl::InfinitePast();
  absl::Time queued = absl::InfinitePast();   // when it last entered the queue
  absl::Time started = absl::InfinitePast();  // when its first attempt started
  absl::Time ended = absl::InfinitePast();
  absl::Time updated = absl::InfinitePast();
  int attempts = 0;
  absl::Time attempt_started = absl::InfinitePast();  // of the running attempt
  absl::Duration ran;                                 // duration of all earlier attempts
  int crashes = 0;           // consecutive crashes without a new checkpoint
  int64_t crash_step = 0;    // step of the last checkpoint at the last crash
  bool interrupted = false;  // the server stopped the trainer, so its exit is not a crash
  std::optional<model::TrainOutcome> outcome;  // without the scores of single images
  std::optional<Activation> activation;

  bool operator==(const JobRecord&) const = default;
};

// Why a trainer failed.
struct JobError {
  std::string code;   // UPPER_SNAKE_CASE: TrainJob::reason_code
  std::string field;  // of the specification; "" when no field is at fault
  std::string message;

  bool operator==(const JobError&) const = default;
};

// What a trainer left when it exited. Both are empty after a crash.
struct TrainerExit {
  std::optional<model::TrainOutcome> outcome;  // without the scores of single images
  std::optional<JobError> error;               // of no meaning when there is an outcome
};

// `job` as an absolute path without a trailing separator, so that filename() is the job's name.
std::filesystem::path JobDirectory(const std::filesystem::path& job);

// Errors of writing: RESOURCE_EXHAUSTED (DISK_FULL), INVALID_ARGUMENT (a text that is not UTF-8 or
// a number that is not finite), INTERNAL; the file is not changed then. Errors of reading:
// NOT_FOUND when the file does not exist; DATA_LOSS when its content is damaged, with the file and
// the defect in the message; RESOURCE_EXHAUSTED, PERMISSION_DENIED or INTERNAL when the system
// cannot read it.
absl::Status WriteSpec(const std::filesystem::path& job, const JobSpec& spec);
absl::StatusOr<JobSpec> ReadSpec(const std::filesystem::path& job);

// As WriteSpec, but ALREADY_EXISTS when the directory has a spec.json. Of several processes that call
// it at the same time, one succeeds.
absl::Status CreateSpec(const std::filesystem::path& job, const JobSpec& spec);

absl::Status WriteRecord(const std::filesystem::path& job, const JobRecord& record);
absl::StatusOr<JobRecord> ReadRecord(const std::filesystem::path& job);

absl::Status WriteOutcome(const std::filesystem::path& job, const model::TrainOutcome& outcome);
absl::StatusOr<model::TrainOutcome> ReadOutcome(const std::filesystem::path& job);

absl::Status WriteError(const std::filesystem::path& job, const JobError& error);
absl::StatusOr<JobError> ReadError(const std::filesystem::path& job);

// Reads result.json, or else error.json. DATA_LOSS when result.json is damaged; a damaged
// error.json is a TrainerExit with the error DATA_LOSS. Other errors mean that the system could not
// read the file now, and that a later call may succeed.
absl::StatusOr<TrainerExit> ReadTrainerExit(const std::filesystem::path& job);

// Removes the scores of single images, which may be many.
void DropScores(model::TrainOutcome& outcome);

}  // namespace proad::server
