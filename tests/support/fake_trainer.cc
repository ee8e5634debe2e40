// A trainer without LibTorch. It follows the protocol of server/jobs/job_files.h and does what the
// labels of its job say (fake_trainer.h).
#include "tests/support/fake_trainer.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/jobs/progress_file.h"
#include "server/jobs/trainer_process.h"
#include "tests/support/fake_store.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
namespace fake = proad::testing;

std::atomic<bool> g_stop = false;

class FakeTrainer {
 public:
  FakeTrainer(fs::path job, fs::path store, std::string memory_limit, JobSpec spec)
      : job_(std::move(job)),
        memory_limit_(std::move(memory_limit)),
        work_(job_ / kWorkDirectory),
        store_(std::move(store)),
        spec_(std::move(spec)),
        writer_(std::make_unique<ProgressWriter>(
            job_ / kProgressFile, ProgressWriter::Options{.interval = absl::ZeroDuration()})) {}

  int Run() {
    fs::create_directories(work_);
    DescribeStart();
    int64_t step = 0;
    if (!Has(fake::kFakeForgetful)) std::ifstream(work_ / "step") >> step;
    std::ofstream(job_ / fake::kFakeAttempts, std::ios::app) << step << std::endl;
    progress_.steps = Number(fake::kFakeSteps, 3);
    progress_.step = progress_.checkpoint_step = step;
    progress_.epochs = 1;
    progress_.device = "cpu";
    progress_.train_images = 24;
    Report(model::TrainPhase::kPreparing);
    while (true) {
      progress_.epoch = 1;
      progress_.loss = 1.0 / (1.0 + static_cast<double>(progress_.step));
      progress_.learning_rate = 0.001;
      Report(model::TrainPhase::kTraining);
      if (progress_.step == Number(fake::kFakeHoldAt, -1) && !Wait(/*stoppable=*/true)) {
        return kTrainerStopped;
      }
      if (progress_.step == Number(fake::kFakeCrashAt, -1) &&
          Attempts() <= Number(fake::kFakeCrashes, 1000)) {
        writer_.reset();
        kill(getpid(), SIGKILL);
      }
      if (g_stop) return kTrainerStopped;
      if (progress_.step == progress_.steps) break;
      ++progress_.step;
      if (!Has(fake::kFakeForgetful)) {
        fake::WriteText(work_ / "step.new", absl::StrCat(progress_.step));
        fs::rename(work_ / "step.new", work_ / "step");
        progress_.checkpoint_step = progress_.step;
      }
    }
    return End();
  }

 private:
  bool Has(const char* label) const { return spec_.labels.contains(label); }
  std::string Text(const char* label, const std::string& otherwise) const {
    const auto found = spec_.labels.find(label);
    return found == spec_.labels.end() ? otherwise : found->second;
  }
  int64_t Number(const char* label, int64_t otherwise) const {
    int64_t number = 0;
    return absl::SimpleAtoi(Text(label, ""), &number) ? number : otherwise;
  }

  int64_t Attempts() const {
    std::ifstream in(job_ / fake::kFakeAttempts);
    int64_t attempts = 0;
    for (std::string line; std::getline(in, line);) ++attempts;
    return attempts;
  }

  void Report(model::TrainPhase phase) {
    progress_.phase = phase;
    writer_->Report(progress_, absl::Now());
  }

  // Waits for Release. False after SIGTERM, or when the test has removed the job's directory.
  bool Wait(bool stoppable) const {
    const timespec moment = {.tv_sec = 0, .tv_nsec = 2'000'000};
    while (!fs::exists(job_ / "go")) {
      if ((stoppable && g_stop) || !fs::exists(job_)) return false;
      nanosleep(&moment, nullptr);
    }
    return true;
  }

  // Writes what the process inherited: session, threads, descriptors, signals; and its memory limit.
  void DescribeStart() const {
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    std::ofstream out(job_ / fake::kFakeStart);
    const auto path_of = [](int fd) {
      std::error_code none;
      return fs::read_symlink(absl::StrCat("/proc/self/fd/", fd), none).string();
    };
    const char* const threads = getenv("OMP_NUM_THREADS");
    out << "own_session " << (getsid(0) == getpid()) << "\n"
        << "threads " << (threads == nullptr ? "" : threads) << "\n"
        << "memory_limit " << memory_limit_ << "\n"
        << "stdin " << path_of(0) << "\nstdout " << path_of(1) << "\nstderr " << path_of(2) << "\n"
        << "sigterm_blocked " << sigismember(&blocked, SIGTERM) << "\n";
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      out << "open " << fs::read_symlink(entry.path(), gone).string() << "\n";
    }
  }

  int End() {
    if (Has(fake::kFakeExit)) {
      std::cerr << fake::kFakeLogText << std::endl;
      return static_cast<int>(Number(fake::kFakeExit, 1));
    }
    if (Has(fake::kFakeError)) {
      return WriteError(job_,
                        {Text(fake::kFakeError, ""), "dataset", "the label fake.error is set"})
                     .ok()
                 ? kTrainerFailed
                 : 2;
    }
    Report(model::TrainPhase::kEvaluating);
    Report(model::TrainPhase::kPublishing);
    if (Has(fake::kFakeHoldPublishing)) Wait(/*stoppable=*/false);
    const std::string version = Text(fake::kFakeVersion, "1");
    if (Has(fake::kFakePublish) &&
        !fs::exists(store_ / spec_.train.model_name / version / model::kManifestFile)) {
      WriteFakeVersion(store_, spec_.train.model_name, version);
    }
    return WriteOutcome(job_, Outcome(version)).ok() ? kTrainerDone : 2;
  }

  model::TrainOutcome Outcome(const std::string& version) const {
    model::TrainOutcome outcome;
    outcome.version = version;
    outcome.hash = std::string(64, 'f');
    outcome.steps = progress_.steps;
    outcome.final_loss = progress_.loss;
    outcome.train_images = progress_.train_images;
    outcome.evaluation =
        model::Evaluation{.metrics = {{"image_auroc", "", 0.9, 2}, {"image_auroc", "pcb", 0.9, 2}},
                          .samples = {{"pcb/test/good/1.png", "pcb", "", 0.1},
                                      {"pcb/test/bad/1.png", "pcb", "bad", 0.2}}};
    outcome.calibration["pcb"] = {.threshold = 0.15, .false_reject_budget = 0.01, .images = 4};
    if (Has(fake::kFakeGate)) {
      const std::string gate = Text(fake::kFakeGate, "");
      outcome.gate = model::GateVerdict{gate == "passed", gate == "passed" ? "" : gate};
    }
    outcome.data_fingerprint = "fake";
    return outcome;
  }

  const fs::path job_;
  const std::string memory_limit_;
  const fs::path work_;
  const fs::path store_;
  const JobSpec spec_;
  std::unique_ptr<ProgressWriter> writer_;
  model::TrainProgress progress_;
};

int Main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 2; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  const fs::path job = options["--job"];
  const auto lock = TrainerLock::Acquire(job);
  if (!lock.ok()) {
    std::cerr << lock.status() << std::endl;
    return kTrainerLocked;
  }
  const auto spec = ReadSpec(job);
  if (!spec.ok()) {
    std::cerr << spec.status() << std::endl;
    return 2;
  }
  struct sigaction action = {};
  action.sa_handler = [](int) { g_stop = true; };
  if (spec->labels.contains(fake::kFakeDeaf)) action.sa_handler = SIG_IGN;
  sigaction(SIGTERM, &action, nullptr);
  return FakeTrainer(job, options["--store"], options["--memory-limit"], *spec).Run();
}

}  // namespace
}  // namespace proad::server

int main(int argc, char** argv) { return proad::server::Main(argc, argv); }
