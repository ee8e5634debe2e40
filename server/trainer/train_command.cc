#include "server/trainer/train_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/network/device.h"
#include "model/spec/manifest.h"
#include "model/training/rendezvous.h"
#include "model/training/train_run.h"
#include "server/jobs/job_files.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/ranks.h"
#include "server/jobs/trainer_process.h"
#include "server/serving/model_store.h"
#include "server/trainer/image_options.h"
#include "server/trainer/job_error.h"
#include "server/trainer/memory_limit.h"
#include "server/trainer/stop_signal.h"
#include "server/util/reasons.h"
#include "server/version.h"

namespace proad::server {
namespace {

// Gives the server and other processes of the machine precedence: for the cores, and when the
// kernel has to kill a process because memory is exhausted.
void LowerPriority(int nice) {
  if (nice > 0 && setpriority(PRIO_PROCESS, 0, nice) != 0) std::perror("setpriority");
  std::ofstream("/proc/self/oom_score_adj") << 500;
}

class Reporter : public model::TrainObserver {
 public:
  // Only rank 0 writes progress.jsonl. From the evaluation on it works alone, with `threads`
  // threads instead of its share; 0: it has all threads from the start.
  Reporter(const std::filesystem::path& job, bool is_rank_0, int threads) : threads_(threads) {
    if (is_rank_0) writer_.emplace(job / kProgressFile);
  }

  void OnProgress(const model::TrainProgress& progress) override {
    const model::TrainPhase before = phase_.exchange(progress.phase);
    const bool alone = before != progress.phase && progress.phase == model::TrainPhase::kEvaluating;
    if (alone && threads_ > 0) model::SetThreads(threads_);
    if (writer_) writer_->Report(progress, absl::Now());
  }

  void OnWarning(const std::string& text) override {
    if (writer_) std::cerr << "proad-trainer: warning: " << text << std::endl;
  }

  // Not while publishing: once the server has read that phase, it refuses to cancel the job.
  bool StopRequested() override {
    return server::StopRequested() && phase_ != model::TrainPhase::kPublishing;
  }

  // Whether the run still needs its other processes. Safe to call from any thread.
  bool NeedsOtherRanks() const { return phase_ < model::TrainPhase::kEvaluating; }

 private:
  const int threads_;
  std::optional<ProgressWriter> writer_;
  std::atomic<model::TrainPhase> phase_ = model::TrainPhase::kPreparing;
};

struct Options {
  std::filesystem::path job;
  int nice = 0;
  double peer_timeout_seconds = 600;
  int64_t memory_limit = 0;  // bytes, of all processes of the training on this machine; 0: none
  pid_t parent = 0;          // rank 0, if that is the process that started this one
  model::TrainContext context;
};

void PrintError(const std::string& message) {
  std::cerr << "proad-trainer: " << message << std::endl;
}

int Fail(const Options& options, const JobError& error) {
  PrintError(absl::StrCat(error.code, ": ", error.message));
  const absl::Status written = WriteError(options.job, error);
  if (!written.ok()) PrintError(std::string(written.message()));
  return kTrainerFailed;
}

// The exit code of a process that lost another process of its training. A rank that failed wrote
// error.json before it exited; without that file, the loss counts as a crash of the whole trainer.
int ExitAfterLostRank(const Options& options, const std::string& message) {
  PrintError(message);
  if (std::filesystem::exists(options.job / kResultFile)) return kTrainerDone;
  return std::filesystem::exists(options.job / kErrorFile) ? kTrainerFailed : kTrainerAlone;
}

// The training of a job in this process, which may be one of several.
class Training {
 public:
  Training(const Options& options, const JobSpec& spec,
           const std::optional<model::Membership>& membership)
      : options_(options),
        spec_(spec),
        started_outside_(membership.has_value()),
        membership_(membership.value_or(model::Membership{.size = spec.train.world_size})),
        threads_(model::DescribeRuntime().threads),
        reporter_(options.job, membership_.rank == 0, spec.train.world_size > 1 ? threads_ : 0) {
    membership_.patience_seconds = options.peer_timeout_seconds;
  }

  int Run() {
    model::TrainContext context = options_.context;
    if (membership_.size > 1) JoinOtherRanks(context);
    const model::TrainOutcome outcome = model::Train(spec_.train, context, reporter_);
    if (membership_.rank != 0) {
      rendezvous_->AwaitEnd();
      return kTrainerDone;
    }
    const absl::Status written = WriteOutcome(options_.job, outcome);
    if (!written.ok()) return Fail(options_, JobErrorOf(written));
    if (rendezvous_) rendezvous_->AnnounceEnd();
    if (ranks_) ranks_->Await(kExitTimeout);
    return kTrainerDone;
  }

 private:
  static constexpr absl::Duration kExitTimeout = absl::Seconds(10);  // of the other ranks

  void JoinOtherRanks(model::TrainContext& context) {
    rendezvous_ = std::make_unique<model::Rendezvous>(membership_);
    context.processes = rendezvous_.get();
    if (started_outside_ && options_.parent == 0) return;
    // All ranks run on this machine and share its memory.
    context.feature_memory_bytes /= membership_.size;
    if (started_outside_) return;
    const int threads = std::max(1, threads_ / membership_.size);
    model::SetThreads(threads);
    auto started = LocalRanks::Start(rendezvous_->membership(), threads,
                                     [this](int rank, int exit_code, const std::string& ending) {
                                       OnRankEnd(rank, exit_code, ending);
                                     });
    if (!started.ok()) throw std::runtime_error(std::string(started.status().message()));
    ranks_ = *std::move(started);
  }

  // Ends this process, which may be waiting for the rank that ended. Not for a rank that stopped on
  // request or lost another rank: this process learns of that from the rendezvous.
  void OnRankEnd(int rank, int exit_code, const std::string& ending) {
    if (exit_code == kTrainerDone || exit_code == kTrainerStopped || exit_code == kTrainerAlone ||
        !reporter_.NeedsOtherRanks()) {
      return;
    }
    std::_Exit(
        ExitAfterLostRank(options_, absl::StrCat("process ", rank, " of this training ", ending)));
  }

  const Options& options_;
  const JobSpec& spec_;
  const bool started_outside_;  // by Kubernetes or torchrun, or by rank 0; not a server's trainer
  model::Membership membership_;
  const int threads_;
  Reporter reporter_;
  std::unique_ptr<model::Rendezvous> rendezvous_;
  std::unique_ptr<LocalRanks> ranks_;  // destroyed before the rendezvous
};

int Train(const Options& options, const JobSpec& spec,
          const std::optional<model::Membership>& membership) {
  try {
    if (!membership || membership->rank == 0) {
      std::filesystem::create_directories(options.context.store);
      const absl::Status pinned = ModelStore(options.context.store).Pin(spec.train.model_name);
      if (!pinned.ok()) return Fail(options, JobErrorOf(pinned));
    }
    return Training(options, spec, membership).Run();
  } catch (const model::Interrupted&) {
    return kTrainerStopped;
  } catch (const model::PeerLost& error) {
    return ExitAfterLostRank(options, error.what());
  } catch (...) {
    return Fail(options, JobErrorOfCurrentException());
  }
}

// The exit code of a job that has result.json already. A version can be deleted after its job has
// ended; the job must not report success then.
int ExitWithResult(const Options& options, const JobSpec& spec) {
  const absl::StatusOr<model::TrainOutcome> outcome = ReadOutcome(options.job);
  if (!outcome.ok()) {
    PrintError(std::string(outcome.status().message()));
    return kTrainerFailed;
  }
  std::string hash;
  try {
    hash =
        model::ReadManifest(options.context.store / spec.train.model_name / outcome->version).hash;
  } catch (const std::exception& error) {
    PrintError(error.what());
  }
  if (hash == outcome->hash) return kTrainerDone;
  PrintError(absl::StrCat((options.job / kResultFile).string(), " names ", spec.train.model_name,
                          "@", outcome->version, " with the manifest ", outcome->hash,
                          ", which the store ", options.context.store.string(),
                          " does not have; remove the job's directory and plan the job again"));
  return kTrainerFailed;
}

// Ends this process as OUT_OF_MEMORY when it exceeds its share of the memory limit.
std::unique_ptr<MemoryLimit> LimitMemory(const Options& options, const JobSpec& spec,
                                         const std::optional<model::Membership>& membership) {
  if (options.memory_limit == 0) return nullptr;
  const bool one_machine = !membership || options.parent != 0;
  const int64_t limit = options.memory_limit / (one_machine ? spec.train.world_size : 1);
  return std::make_unique<MemoryLimit>(limit, [&options, limit](int64_t used) {
    std::_Exit(Fail(options, {reason::kOutOfMemory, "", MemoryLimitError(used, limit)}));
  });
}

int Train(Options options) {
  if (options.parent != 0 && !EndWithParent(options.parent)) return kTrainerAlone;
  StopOnSignal(/*interrupt=*/false);
  const auto membership = ReadMembership(getenv);
  if (!membership.ok()) {
    PrintError(std::string(membership.status().message()));
    return kTrainerFailed;
  }
  std::optional<TrainerLock> held;
  if (!*membership || (*membership)->rank == 0) {
    auto lock = TrainerLock::Acquire(options.job);
    if (!lock.ok()) {
      PrintError(std::string(lock.status().message()));
      return absl::IsFailedPrecondition(lock.status()) ? kTrainerLocked : kTrainerFailed;
    }
    held.emplace(*std::move(lock));
    std::error_code error;
    std::filesystem::remove(options.job / kErrorFile, error);  // of an earlier attempt
  }
  const bool has_result = std::filesystem::exists(options.job / kResultFile);
  if (has_result && !held) return kTrainerDone;  // rank 0 checks the result
  const absl::StatusOr<JobSpec> spec = ReadSpec(options.job);
  if (has_result && spec.ok()) return ExitWithResult(options, *spec);
  if (!spec.ok()) return Fail(options, JobErrorOf(spec.status()));
  options.context.job_id = spec->id.value_or(options.job.filename().string());
  if (*membership && (*membership)->size != spec->train.world_size) {
    return Fail(options, {reason::kInvalidSpec, "world_size",
                          absl::StrCat("world_size of the job is ", spec->train.world_size,
                                       ", but WORLD_SIZE in the environment is ",
                                       (*membership)->size, "; they must be equal")});
  }
  // Before LowerPriority, so that the watching thread keeps its priority.
  const std::unique_ptr<MemoryLimit> memory_limit = LimitMemory(options, *spec, *membership);
  LowerPriority(options.nice);
  return Train(options, *spec, *membership);
}

}  // namespace

void AddTrainCommand(CLI::App& command, Command& run) {
  const auto options = std::make_shared<Options>();
  model::TrainContext& context = options->context;
  command.add_option("--job", options->job, "Directory of the job; contains its spec.json")
      ->required()
      ->check(CLI::ExistingDirectory);
  command.add_option("--store", context.store, "Model store for the new version")->required();
  command.add_option("--nice", options->nice, "Niceness")->check(CLI::Range(0, 19));
  command
      .add_option("--feature-memory", context.feature_memory_bytes,
                  "Bytes of memory for features of images; further features go to the disk")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--checkpoint-seconds", context.checkpoint_seconds,
                  "Least number of seconds between checkpoints")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--memory-limit", options->memory_limit,
                  "Bytes of memory that the training may use on this machine; beyond it fails as "
                  "OUT_OF_MEMORY (default: no limit)")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--peer-timeout", options->peer_timeout_seconds,
                  "Seconds without an answer after which another process of the training counts as "
                  "lost")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--parent", options->parent,
                  "Process id of rank 0; this process ends when that process ends")
      ->check(CLI::PositiveNumber)
      ->group("");
  AddImageOptions(command, context.limits);
  command.callback([options, &run] {
    options->job = JobDirectory(options->job);
    options->context.directory = options->job / kWorkDirectory;
    options->context.code_version = Version();
    run = [options] { return Train(*options); };
  });
}

}  // namespace proad::server
