// The trainer process of a job: starts it, observes whether it is alive, and ends it.
//
// A trainer runs in a session of its own and outlives the server. It is alive as long as a process
// holds the lock on JOBS/<id>/trainer.lock: the trainer takes the lock before anything else, and
// the kernel releases it when the process ends in any way. So a restarted server finds the trainers
// that are still alive, and a job never has two trainers.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image_limits.h"
#include "server/serving/memory_room.h"

namespace proad::server {

// Exit codes of `proad-trainer train`.
inline constexpr int kTrainerDone = 0;      // result.json is written
inline constexpr int kTrainerFailed = 1;    // error.json has the reason
inline constexpr int kTrainerStopped = 75;  // by SIGTERM; the state is saved
inline constexpr int kTrainerLocked = 76;   // another trainer holds the job's lock
inline constexpr int kTrainerAlone = 77;    // another process of the training is lost

// The trainer's lock on its job, held from Acquire until the process ends. Only tests release it
// earlier. It is a record lock of fcntl, since the owner of such a lock can be queried. The lock
// belongs to the process and is lost when the process closes any descriptor of the file, so no
// other code of the trainer may open the file.
class TrainerLock {
 public:
  // FAILED_PRECONDITION when another process holds it, INTERNAL.
  static absl::StatusOr<TrainerLock> Acquire(const std::filesystem::path& job);
  ~TrainerLock();
  TrainerLock(TrainerLock&& other) noexcept;
  TrainerLock& operator=(TrainerLock&&) = delete;

  // The id of the process that holds the lock; 0 when there is none. INTERNAL when the system
  // cannot tell now, for example for lack of descriptors.
  static absl::StatusOr<pid_t> FindHolder(const std::filesystem::path& job);

  // As FindHolder; 0 also when the system cannot tell.
  static pid_t Holder(const std::filesystem::path& job);

 private:
  explicit TrainerLock(int fd) : fd_(fd) {}
  int fd_;
};

// The command line and environment of a trainer.
struct TrainerOptions {
  std::filesystem::path program;
  std::filesystem::path store;
  int nice = 0;
  int threads = 1;
  int64_t feature_memory_bytes = 0;
  int64_t memory_limit_bytes = 0;  // beyond it the trainer fails as OUT_OF_MEMORY; 0: none
  absl::Duration checkpoint_interval;
  model::ImageLimits image;
};

// The memory limit of one of `slots` trainers that share the free memory equally: what remains when
// the server grows from room.reserved to `server_memory` bytes, but at least half of the free memory.
// 0, which means no limit, when the free memory is unknown; otherwise at least 1. Pure function.
int64_t TrainerMemoryLimit(const MemoryRoom& room, int64_t server_memory, int slots);

// The trainer of one job: started by this process, or by an earlier server, or none. One thread.
class TrainerProcess {
 public:
  explicit TrainerProcess(std::filesystem::path job) : job_(std::move(job)) {}
  // The process continues.
  ~TrainerProcess() = default;
  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;

  // Starts a trainer. INTERNAL, naming the program, when the system cannot start it.
  absl::Status Start(const TrainerOptions& options);

  // False once the trainer has exited; true also when the system cannot tell now. Collects the exit
  // status.
  bool IsAlive();

  // Sends SIGTERM: the trainer saves its state and exits. No effect after its exit.
  void Terminate();

  // Sends SIGKILL to the trainer and to all processes that it started.
  void Kill();

  // How the last trainer of Start ended, for example "it was killed by signal 9 (Killed)"; "" when
  // unknown.
  const std::string& ending() const { return ending_; }

 private:
  void Signal(int signal);

  const std::filesystem::path job_;
  pid_t child_ = 0;  // started here, exit status not yet collected; 0: none
  std::string ending_;
};

// The last lines of the job's trainer.log, at most `max_bytes`; "" when it is empty.
std::string LogTail(const std::filesystem::path& job, size_t max_bytes);

}  // namespace proad::server
