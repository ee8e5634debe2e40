#include "server/training/train_command.h"

#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/error.h"
#include "model/non_finite_loss.h"
#include "model/train_run.h"
#include "server/serving/model_store.h"
#include "server/training/job_files.h"
#include "server/training/progress_file.h"
#include "server/training/stop_signal.h"
#include "server/training/trainer_process.h"
#include "server/util/status_details.h"
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
  explicit Reporter(const std::filesystem::path& job) : writer_(job / kProgressFile) {}

  void OnProgress(const model::TrainProgress& progress) override {
    phase_ = progress.phase;
    writer_.Report(progress, absl::Now());
  }

  // Whoever reads that it publishes relies on that it will.
  bool StopRequested() override {
    return server::StopRequested() && phase_ != model::TrainPhase::kPublishing;
  }

 private:
  ProgressWriter writer_;
  model::TrainPhase phase_ = model::TrainPhase::kPreparing;
};

JobError ErrorOf(const model::InvalidInput& error) {
  std::string code = "INVALID_SPEC";
  if (error.reason() == "DATASET_CHANGED") code = error.reason();
  if (error.reason() == "UNREADABLE_IMAGE" || absl::StartsWith(error.reason(), "IMAGE_")) {
    code = "UNREADABLE_IMAGE";
  }
  if (error.reason() == "SCORE_NOT_FINITE") code = "INTERNAL";
  return {code, code == "INVALID_SPEC" ? error.field() : "", error.what()};
}

JobError ErrorOf(const model::FileError& error) {
  switch (error.error_number()) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return {"DISK_FULL", "", error.what()};
    case ENOMEM:
      return {"OUT_OF_MEMORY", "", error.what()};
    default:
      return {"INTERNAL", "", error.what()};
  }
}

// Of LibTorch's errors the first line is for people; a stack follows.
JobError ErrorOf(const std::string& what) {
  const std::string line = what.substr(0, what.find('\n'));
  const bool memory =
      absl::StrContains(what, "out of memory") || absl::StrContains(what, "DefaultCPUAllocator");
  return {memory ? "OUT_OF_MEMORY" : "INTERNAL", "", line};
}

JobError ErrorOf(const absl::Status& status) {
  std::string code = "INTERNAL";
  if (status.code() == absl::StatusCode::kDataLoss) code = "DATA_LOSS";
  if (GetDetails(status).reason == "DISK_FULL") code = "DISK_FULL";
  return {code, "", std::string(status.message())};
}

// Call inside a catch block.
JobError ErrorOfCurrentException() {
  try {
    throw;
  } catch (const model::NonFiniteLoss& error) {
    return {"NON_FINITE_LOSS", "", error.what()};
  } catch (const model::InvalidInput& error) {
    return ErrorOf(error);
  } catch (const model::CorruptFile& error) {
    return {"DATA_LOSS", "", error.what()};
  } catch (const model::FileError& error) {
    return ErrorOf(error);
  } catch (const std::bad_alloc&) {
    return {"OUT_OF_MEMORY", "", "the training process is out of memory"};
  } catch (const std::exception& error) {
    return ErrorOf(std::string(error.what()));
  }
}

struct Options {
  std::filesystem::path job;
  int nice = 0;
  model::TrainContext context;
};

int Fail(const Options& options, const JobError& error) {
  std::cerr << "proad-trainer: " << error.code << ": " << error.message << std::endl;
  const absl::Status written = WriteError(options.job, error);
  if (!written.ok()) std::cerr << "proad-trainer: " << written.message() << std::endl;
  return kTrainerFailed;
}

int Train(const Options& options) {
  StopOnSignal(/*interrupt=*/false);
  StandBack(options.nice);
  const auto lock = TrainerLock::Acquire(options.job);
  if (!lock.ok()) {
    std::cerr << "proad-trainer: " << lock.status().message() << std::endl;
    return absl::IsFailedPrecondition(lock.status()) ? kTrainerLocked : kTrainerFailed;
  }
  if (std::filesystem::exists(options.job / kResultFile)) return kTrainerDone;
  const absl::StatusOr<JobSpec> spec = ReadSpec(options.job);
  if (!spec.ok()) return Fail(options, ErrorOf(spec.status()));
  try {
    std::filesystem::create_directories(options.context.store);
    const absl::Status pinned = ModelStore(options.context.store).Pin(spec->train.model_name);
    if (!pinned.ok()) return Fail(options, ErrorOf(pinned));
    Reporter reporter(options.job);
    const model::TrainOutcome outcome = model::Train(spec->train, options.context, reporter);
    const absl::Status written = WriteOutcome(options.job, outcome);
    return written.ok() ? kTrainerDone : Fail(options, ErrorOf(written));
  } catch (const model::Interrupted&) {
    return kTrainerStopped;
  } catch (...) {
    return Fail(options, ErrorOfCurrentException());
  }
}

}  // namespace

void AddTrainCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<Options>();
  model::TrainContext& context = options->context;
  CLI::App* const command = app.add_subcommand(
      "train", "Run a training job of a server (OMP_NUM_THREADS says with how many threads)");
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
