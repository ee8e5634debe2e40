// The processes of one training that this machine runs: what makes a trainer one of several, and
// rank 0's hold on those that it has started.
//
// A trainer whose environment has RANK was started from outside, by Kubernetes or torchrun for
// example, and meets the others where WORLD_SIZE, MASTER_ADDR and MASTER_PORT say. Without it, the
// trainer of a job for several processes is rank 0 and starts the rest itself, on its own machine.
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

// The variables that make a process one of several; a server's trainer must not inherit them.
inline constexpr const char* kRankVariables[] = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR",
                                                 "MASTER_PORT"};

// What the environment says, looked up by `variable` (getenv); absent without RANK.
// INVALID_ARGUMENT naming the variable that is missing or impossible. Pure function.
absl::StatusOr<std::optional<model::Membership>> ReadMembership(
    absl::FunctionRef<const char*(const char* name)> variable);

// Ranks 1 to size - 1 of a training whose rank 0 is this process. None outlives it.
class LocalRanks {
 public:
  // How a rank ended: its number, its exit code, -1 when a signal killed it, and that in words.
  using OnEnd = std::function<void(int rank, int exit_code, const std::string& words)>;

  // Starts them: this program with its own arguments and --parent, with `threads` OpenMP threads
  // each. `on_end` is called from a thread of this object as each ends.
  static absl::StatusOr<std::unique_ptr<LocalRanks>> Start(const model::Membership& membership,
                                                           int threads, OnEnd on_end);

  // Kills those that still live, and tells nobody of it.
  ~LocalRanks();
  LocalRanks(const LocalRanks&) = delete;
  LocalRanks& operator=(const LocalRanks&) = delete;

  // Waits for all to end by themselves, so long at most.
  void Await(absl::Duration patience);

 private:
  LocalRanks() = default;
  void Watch(const OnEnd& on_end);

  Mutex mutex_;
  CondVar ended_;
  std::map<pid_t, int> living_ ABSL_GUARDED_BY(mutex_);  // to their numbers
  bool leaving_ ABSL_GUARDED_BY(mutex_) = false;         // what ends from now on was to end
  std::thread watch_;
};

// In such a process, with the pid of --parent: it is killed when that process ends. False when that
// has ended already.
bool EndWithParent(pid_t parent);

}  // namespace proad::server
