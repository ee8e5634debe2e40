// A job's trainer as a process: starting it, seeing whether it lives, ending it.
//
// A trainer is a process of its own session that outlives the server. What tells that it lives is
// neither its parent nor its number but the lock on JOBS/<id>/trainer.lock, which it takes before
// it does anything and which the system releases when it is gone, however it ends. So a server that
// starts again finds the trainers that are still at work, and a job never has two.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image.h"

namespace proad::server {

// Exit codes of `proad-trainer train`.
inline constexpr int kTrainerDone = 0;      // result.json is written
inline constexpr int kTrainerFailed = 1;    // error.json says why
inline constexpr int kTrainerStopped = 75;  // on request; its state is saved
inline constexpr int kTrainerLocked = 76;   // another trainer has the job
inline constexpr int kTrainerAlone = 77;    // another process of the training is gone

// A trainer's hold on its job, from Acquire to the end of the process. Released early only in
// tests. (A record lock of fcntl: one can be asked for without being taken, and it knows its owner.
// It belongs to the process: nothing else in there may open and close the file.)
class TrainerLock {
 public:
  // FAILED_PRECONDITION when another process holds it, INTERNAL.
  static absl::StatusOr<TrainerLock> Acquire(const std::filesystem::path& job);
  ~TrainerLock();
  TrainerLock(TrainerLock&& other) noexcept;
  TrainerLock& operator=(TrainerLock&&) = delete;

  // The process that holds it; 0 when there is none.
  static pid_t Holder(const std::filesystem::path& job);

 private:
  explicit TrainerLock(int fd) : fd_(fd) {}
  int fd_;
};

// How trainers are started.
struct TrainerOptions {
  std::filesystem::path program;
  std::filesystem::path store;
  int nice = 0;
  int threads = 1;
  int64_t feature_memory_bytes = 0;
  absl::Duration checkpoint_interval;
  model::ImageLimits image;
};

// The trainer of one job: one that this process started, one that it found, or none. One thread.
class TrainerProcess {
 public:
  explicit TrainerProcess(std::filesystem::path job) : job_(std::move(job)) {}
  // Leaves the process alone.
  ~TrainerProcess() = default;
  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;

  // Starts one. INTERNAL naming the program when the system refuses.
  absl::Status Start(const TrainerOptions& options);

  // False once no process of the job is left. Collects what it leaves to its parent.
  bool IsAlive();

  // SIGTERM: it saves its state and ends. No effect when it is gone.
  void Terminate();

  // SIGKILL, to it and all that it started.
  void Kill();

  // How the last one that Start started ended, in words: "it was killed by signal 9 (Killed)". ""
  // when that is not known.
  const std::string& ending() const { return ending_; }

 private:
  void Signal(int signal);

  const std::filesystem::path job_;
  pid_t child_ = 0;  // started here and not yet collected; 0: none
  std::string ending_;
};

// The last lines of the job's trainer.log, at most `max_bytes`; "" when there are none.
std::string LogTail(const std::filesystem::path& job, size_t max_bytes);

}  // namespace proad::server
