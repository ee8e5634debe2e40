// The files of a job's directory, JOBS/<id>/, which the server and its trainer share:
//
//   spec.json      what was asked for; written once, before the job is acknowledged
//   state.json     the server's record; of no interest to the trainer
//   result.json    what the trainer leaves when it is done; its last act
//   error.json     why the trainer gave up
//   progress.jsonl how far the trainer is (progress_file.h)
//   trainer.lock   held by the trainer for its life (trainer_process.h)
//   trainer.log    its standard error, of the last attempt
//   work/          its own: training state, features
//
// Each JSON file is there whole or not at all, flushed to the disk, and read strictly. No LibTorch.
// Functions are safe to call from any thread and process; a file has one writer at a time.
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

// What the server remembers of a job beside its specification.
struct JobRecord {
  std::string request_id;  // "": none
  JobState state = JobState::kQueued;
  std::string reason;
  std::string reason_code;
  absl::Time created = absl::InfinitePast();
  absl::Time queued = absl::InfinitePast();   // since when it waits, or last waited
  absl::Time started = absl::InfinitePast();  // for the first time
  absl::Time ended = absl::InfinitePast();
  absl::Time updated = absl::InfinitePast();
  int attempts = 0;
  absl::Time attempt_started = absl::InfinitePast();  // the last one
  absl::Duration ran;                                 // time of the attempts before the last
  int crashes = 0;           // since the trainer last got beyond a checkpoint
  int64_t crash_step = 0;    // the checkpoint that it had at the last crash
  bool interrupted = false;  // the server asked the trainer to save and end: that is no crash
  std::optional<model::TrainOutcome> outcome;  // without the scores of single pictures
  std::optional<Activation> activation;

  bool operator==(const JobRecord&) const = default;
};

// Why a trainer gave up.
struct JobError {
  std::string code;   // UPPER_SNAKE_CASE: TrainJob::reason_code
  std::string field;  // of the specification; "" when that is not at fault
  std::string message;

  bool operator==(const JobError&) const = default;
};

// Writing: RESOURCE_EXHAUSTED (DISK_FULL), INVALID_ARGUMENT (a text that is not UTF-8, a number
// that is not finite), INTERNAL; the file is then as it was. Reading: NOT_FOUND when there is no
// such file, DATA_LOSS naming the file and what is wrong in it.
absl::Status WriteSpec(const std::filesystem::path& job, const JobSpec& spec);
absl::StatusOr<JobSpec> ReadSpec(const std::filesystem::path& job);

absl::Status WriteRecord(const std::filesystem::path& job, const JobRecord& record);
absl::StatusOr<JobRecord> ReadRecord(const std::filesystem::path& job);

absl::Status WriteOutcome(const std::filesystem::path& job, const model::TrainOutcome& outcome);
absl::StatusOr<model::TrainOutcome> ReadOutcome(const std::filesystem::path& job);

absl::Status WriteError(const std::filesystem::path& job, const JobError& error);
absl::StatusOr<JobError> ReadError(const std::filesystem::path& job);

// Leaves out what may be large and what only result.json is for: the scores of single pictures.
void DropScores(model::TrainOutcome& outcome);

}  // namespace proad::server
