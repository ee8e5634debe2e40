// A job while it runs: its trainer, how far that is, and its figures among the metrics.
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
  // `slot`: the place among the jobs that run at once, for the metrics; -1: none.
  RunningJob(const std::filesystem::path& directory, int slot, int64_t batch_size,
             Metrics& metrics);
  ~RunningJob();
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;

  int slot() const { return slot_; }
  TrainerProcess& trainer() { return trainer_; }

  // As TrainerProcess::IsAlive. Ask this before Poll: what a dead trainer wrote is then all there
  // is.
  bool IsAlive();
  bool was_alive() const { return was_alive_; }  // at some call of IsAlive, or started here

  absl::Status Start(const TrainerOptions& options);

  // What the trainer reported since the last call, if anything; counts it.
  std::optional<ProgressRecord> Poll();

 private:
  void Count(const ProgressRecord& record);

  const int slot_;
  const int64_t batch_size_;
  Metrics& metrics_;
  TrainerProcess trainer_;
  ProgressReader reader_;
  bool was_alive_ = false;
  std::optional<ProgressRecord> counted_;  // the last one of a living trainer
};

}  // namespace proad::server
