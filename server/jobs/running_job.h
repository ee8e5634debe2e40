// A job that the server follows: its trainer process, its progress and its metrics.
#pragma once

#include <filesystem>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/trainer_process.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// One thread.
class RunningJob {
 public:
  // `slot`: which of the concurrent jobs it is, for the metrics; -1: none, and without metrics.
  RunningJob(const std::filesystem::path& directory, int slot, int64_t batch_size,
             Metrics& metrics);
  ~RunningJob();
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;

  int slot() const { return slot_; }
  TrainerProcess& trainer() { return trainer_; }

  // As TrainerProcess::IsAlive. Call it before Poll: when it returns false, the trainer's reports
  // are complete.
  bool IsAlive();
  bool was_alive() const { return was_alive_; }  // at some call of IsAlive, or since Start

  absl::Status Start(const TrainerOptions& options);

  // The trainer's last report, if there is a new one since the last call; updates the metrics.
  std::optional<ProgressRecord> Poll();

 private:
  void Count(const ProgressRecord& record);

  const int slot_;
  const int64_t batch_size_;
  Metrics& metrics_;
  TrainerProcess trainer_;
  ProgressReader reader_;
  bool was_alive_ = false;
  std::optional<ProgressRecord> counted_;  // the last report in the metrics, of this attempt
};

}  // namespace proad::server
