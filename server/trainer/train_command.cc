#include "server/trainer/train_command.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
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
#include "model/training/rendezvous.h"
#include "model/training/train_run.h"
#include "server/jobs/job_files.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/ranks.h"
#include "server/jobs/trainer_process.h"
#include "server/serving/model_store.h"
#include "server/trainer/job_error.h"
#include "server/trainer/stop_signal.h"
#include "server/util/reasons.h"
#include "server/version.h"

namespace proad::server {
namespace {

// The server, and whatever else answers people, comes first: for the cores, and when memory ends.
void StandBack(int nice) {
  if (nice > 0 && setpriority(PRIO_PROCESS, 0, nice) != 0) std::perror("setpriority");
  std::ofstream("/proc/self/oom_score_adj") << 500;
}

class Reporter : public model::TrainObserver {
 public:
  // Rank 0 alone reports. Once it measures, it is alone and may use all `threads` that it shared
  // with others; 0: it never did.
  Reporter(const std::filesystem::path& job, bool first, int threads) : threads_(threads) {
    if (first) writer_.emplace(job / kProgressFile);
  }

  void OnProgress(const model::TrainProgress& progress) override {
    const model::TrainPhase before = phase_.exchange(progress.phase);
    const bool alone = before != progress.phase && progress.phase == model::TrainPhase::kEvaluating;
    if (alone && threads_ > 0) model::SetThreads(threads_);
    if (writer_) writer_->Report(progress, absl::Now());
  }

  // Whoever reads that it publishes relies on that it will.
  bool StopRequested() override {
    return server::StopRequested() && phase_ != model::TrainPhase::kPublishing;
  }

  // Whether the other processes are needed. Safe to call from any thread.
  bool NeedsOthers() const { return phase_ < model::TrainPhase::kEvaluating; }

 private:
  const int threads_;
  std::optional<ProgressWriter> writer_;
  std::atomic<model::TrainPhase> phase_ = model::TrainPhase::kPreparing;
};

struct Options {
  std::filesystem::path job;
  int nice = 0;
  double peer_timeout_seconds = 600;
  pid_t parent = 0;  // rank 0, where that is the process that started this one
  model::TrainContext context;
};

void Say(const std::string& words) { std::cerr << "proad-trainer: " << words << std::endl; }

int Fail(const Options& options, const JobError& error) {
  Say(absl::StrCat(error.code, ": ", error.message));
  const absl::Status written = WriteError(options.job, error);
  if (!written.ok()) Say(std::string(written.message()));
  return kTrainerFailed;
}

// A rank that gave up has said why before it left; one that vanished counts as a death of all.
int LeaveAlone(const Options& options, const std::string& words) {
  Say(words);
  if (std::filesystem::exists(options.job / kResultFile)) return kTrainerDone;
  return std::filesystem::exists(options.job / kErrorFile) ? kTrainerFailed : kTrainerAlone;
}

// A job's training in this process, which may be one of several.
class Training {
 public:
  Training(const Options& options, const JobSpec& spec,
           const std::optional<model::Membership>& membership)
      : options_(options),
        spec_(spec),
        outside_(membership.has_value()),
        membership_(membership.value_or(model::Membership{.size = spec.train.world_size})),
        threads_(model::DescribeRuntime().threads),
        reporter_(options.job, membership_.rank == 0, spec.train.world_size > 1 ? threads_ : 0) {
    membership_.patience_seconds = options.peer_timeout_seconds;
  }

  int Run() {
    model::TrainContext context = options_.context;
    if (membership_.size > 1) Meet(context);
    const model::TrainOutcome outcome = model::Train(spec_.train, context, reporter_);
    if (membership_.rank != 0) {
      rendezvous_->AwaitEnd();
      return kTrainerDone;
    }
    const absl::Status written = WriteOutcome(options_.job, outcome);
    if (!written.ok()) return Fail(options_, JobErrorOf(written));
    if (rendezvous_) rendezvous_->AnnounceEnd();
    if (ranks_) ranks_->Await(kFarewell);
    return kTrainerDone;
  }

 private:
  static constexpr absl::Duration kFarewell = absl::Seconds(10);

  void Meet(model::TrainContext& context) {
    rendezvous_ = std::make_unique<model::Rendezvous>(membership_);
    context.processes = rendezvous_.get();
    if (outside_ && options_.parent == 0) return;
    // All on this machine, which they share.
    context.feature_memory_bytes /= membership_.size;
    if (outside_) return;
    const int threads = std::max(1, threads_ / membership_.size);
    model::SetThreads(threads);
    auto started = LocalRanks::Start(rendezvous_->membership(), threads,
                                     [this](int rank, int exit_code, const std::string& words) {
                                       OnRankEnd(rank, exit_code, words);
                                     });
    if (!started.ok()) throw std::runtime_error(std::string(started.status().message()));
    ranks_ = *std::move(started);
  }

  // Ends this process whatever it waits for. A rank that stopped, or lost others itself, is told of
  // by those.
  void OnRankEnd(int rank, int exit_code, const std::string& words) {
    if (exit_code == kTrainerDone || exit_code == kTrainerStopped || exit_code == kTrainerAlone ||
        !reporter_.NeedsOthers()) {
      return;
    }
    std::_Exit(LeaveAlone(options_, absl::StrCat("process ", rank, " of this training ", words)));
  }

  const Options& options_;
  const JobSpec& spec_;
  const bool outside_;  // started by whoever starts all processes, not by rank 0's job
  model::Membership membership_;
  const int threads_;
  Reporter reporter_;
  std::unique_ptr<model::Rendezvous> rendezvous_;
  std::unique_ptr<LocalRanks> ranks_;  // ends before the rendezvous
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
    return LeaveAlone(options, error.what());
  } catch (...) {
    return Fail(options, JobErrorOfCurrentException());
  }
}

int Train(const Options& options) {
  if (options.parent != 0 && !EndWithParent(options.parent)) return kTrainerAlone;
  StopOnSignal(/*interrupt=*/false);
  StandBack(options.nice);
  const auto membership = ReadMembership(getenv);
  if (!membership.ok()) {
    Say(std::string(membership.status().message()));
    return kTrainerFailed;
  }
  std::optional<TrainerLock> held;
  if (!*membership || (*membership)->rank == 0) {
    auto lock = TrainerLock::Acquire(options.job);
    if (!lock.ok()) {
      Say(std::string(lock.status().message()));
      return absl::IsFailedPrecondition(lock.status()) ? kTrainerLocked : kTrainerFailed;
    }
    held.emplace(*std::move(lock));
    std::error_code error;
    std::filesystem::remove(options.job / kErrorFile, error);  // of an attempt before
  }
  if (std::filesystem::exists(options.job / kResultFile)) return kTrainerDone;
  const absl::StatusOr<JobSpec> spec = ReadSpec(options.job);
  if (!spec.ok()) return Fail(options, JobErrorOf(spec.status()));
  if (*membership && (*membership)->size != spec->train.world_size) {
    return Fail(options, {reason::kInvalidSpec, "world_size",
                          absl::StrCat("world_size is ", spec->train.world_size,
                                       ", and WORLD_SIZE in the environment ", (*membership)->size,
                                       "; they must be the same")});
  }
  return Train(options, *spec, *membership);
}

}  // namespace

void AddTrainCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<Options>();
  model::TrainContext& context = options->context;
  CLI::App* const command = app.add_subcommand(
      "train",
      "Run a training job, of a server or of `plan`, alone or as one of several processes "
      "(RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say which; OMP_NUM_THREADS, with how many "
      "threads)");
  command->add_option("--job", options->job, "Directory of the job, with its spec.json")
      ->required()
      ->check(CLI::ExistingDirectory);
  command->add_option("--store", context.store, "Model store that gets the version")->required();
  command->add_option("--nice", options->nice, "Niceness")->check(CLI::Range(0, 19));
  command
      ->add_option("--feature-memory", context.feature_memory_bytes,
                   "Bytes of memory for features of pictures; more go to the disk")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--checkpoint-seconds", context.checkpoint_seconds,
                   "Seconds between checkpoints, at least")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--peer-timeout", options->peer_timeout_seconds,
                   "Seconds after which another process of the training that does not answer "
                   "counts as gone")
      ->check(CLI::PositiveNumber);
  command->add_option("--parent", options->parent, "Pid of the process that this one ends with")
      ->check(CLI::PositiveNumber)
      ->group("");
  command->add_option("--max-image-bytes", context.limits.max_bytes, "Bytes of a picture's file");
  command->add_option("--max-image-pixels", context.limits.max_pixels, "Pixels of a picture");
  command->add_option("--max-image-side", context.limits.max_side, "Rows or columns of a picture");
  command->callback([options, &run] {
    const std::filesystem::path job = std::filesystem::absolute(options->job).lexically_normal();
    options->job = job.has_filename() ? job : job.parent_path();
    options->context.job_id = options->job.filename().string();
    options->context.directory = options->job / kWorkDirectory;
    options->context.code_version = Version();
    run = [options] { return Train(*options); };
  });
}

}  // namespace proad::server
