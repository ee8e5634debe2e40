// The processes (ranks) of one training on this machine: how a trainer learns its rank, and how
// rank 0 starts and watches the others.
//
// A trainer with RANK in its environment was started as one of several, for example by Kubernetes
// or torchrun. It finds the others through WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Without RANK,
// the trainer of a job with several processes is rank 0 and starts the others on its own machine.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/training/rendezvous.h"
#include "server/util/mutex.h"

namespace proad::server {

// The environment variables that make a process one of several. The server removes them from the
// environment of its trainers.
inline constexpr const char* kRankVariables[] = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR",
                                                 "MASTER_PORT"};

// Reads the membership from the environment with the function `variable` (getenv); nullopt without
// RANK. INVALID_ARGUMENT, naming the variable, when one is missing or invalid. Pure function.
absl::StatusOr<std::optional<model::Membership>> ReadMembership(
    absl::FunctionRef<const char*(const char* name)> variable);

// Ranks 1 to size - 1 of a training whose rank 0 is this process. They end at the latest with it.
class LocalRanks {
 public:
  // Receives the end of a rank: its number, its exit code (-1 after a signal), and a description
  // such as "ended with exit code 1".
  using OnEnd = std::function<void(int rank, int exit_code, const std::string& ending)>;

  // Starts the ranks: this program with its own arguments and --parent, each with `threads` OpenMP
  // threads. A thread of this object calls `on_end` when a rank ends. INTERNAL when one cannot be
  // started.
  static absl::StatusOr<std::unique_ptr<LocalRanks>> Start(const model::Membership& membership,
                                                           int threads, OnEnd on_end);

  // Kills the ranks that are still alive, without calling `on_end`.
  ~LocalRanks();
  LocalRanks(const LocalRanks&) = delete;
  LocalRanks& operator=(const LocalRanks&) = delete;

  // Waits until all ranks have exited, at most for `timeout`.
  void Await(absl::Duration timeout);

 private:
  LocalRanks() = default;
  void Watch(const OnEnd& on_end);

  Mutex mutex_;
  CondVar ended_;
  std::map<pid_t, int> alive_ ABSL_GUARDED_BY(mutex_);  // pid to rank
  bool killed_ ABSL_GUARDED_BY(mutex_) = false;         // the destructor ends the ranks
  std::thread watch_;
};

// In a process that rank 0 started, with the process id of --parent: the kernel kills this process
// when that process ends. False when it has ended already.
bool EndWithParent(pid_t parent);

}  // namespace proad::server
