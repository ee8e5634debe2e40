#include "server/trainer/distil_command.h"

#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/spec/preset.h"
#include "model/training/distil_run.h"
#include "server/jobs/trainer_process.h"
#include "server/trainer/image_options.h"
#include "server/trainer/stop_signal.h"
#include "server/version.h"

namespace proad::server {
namespace {

struct Options {
  model::DistilSpec spec;
  model::DistilContext context;
  std::string precision = "fp32";
  bool json = false;
};

// One number for each group of taps.
std::string Shares(const std::vector<double>& shares) {
  return absl::StrJoin(shares, " ", [](std::string* out, double share) {
    absl::StrAppendFormat(out, "%.3f", share);
  });
}

// Prints the progress: on a terminal in one line that it overwrites, elsewhere a line every ten
// seconds.
class Reporter {
 public:
  explicit Reporter(bool json) : json_(json), terminal_(!json && isatty(STDOUT_FILENO) == 1) {}
  ~Reporter() {
    if (terminal_) std::cout << std::endl;
  }
  Reporter(const Reporter&) = delete;
  Reporter& operator=(const Reporter&) = delete;

  void Show(const model::DistilProgress& progress) {
    const absl::Time now = absl::Now();
    const bool last = progress.step == progress.steps;
    if (!last && now < next_) return;
    next_ = now + (terminal_ ? absl::Milliseconds(200) : absl::Seconds(10));
    const double left =
        static_cast<double>(progress.steps - progress.step) / progress.steps_per_second;
    if (json_) {
      const nlohmann::ordered_json line = {{"step", progress.step},
                                           {"steps", progress.steps},
                                           {"loss", progress.loss},
                                           {"unexplained", progress.unexplained},
                                           {"learning_rate", progress.learning_rate},
                                           {"steps_per_second", progress.steps_per_second},
                                           {"eta_seconds", left}};
      std::cout << line.dump() << std::endl;
      return;
    }
    std::cout << (terminal_ ? "\r\x1b[K" : "")
              << absl::StrFormat(
                     "step %d/%d  loss %.4f  unexplained %s  lr %.1e  %.2f steps/s  ETA %s",
                     progress.step, progress.steps, progress.loss, Shares(progress.unexplained),
                     progress.learning_rate, progress.steps_per_second,
                     absl::FormatDuration(absl::Seconds(static_cast<int64_t>(left))))
              << (terminal_ ? "" : "\n") << std::flush;
  }

 private:
  const bool json_;
  const bool terminal_;
  absl::Time next_ = absl::InfinitePast();
};

int Distil(const Options& options) {
  StopOnSignal(/*interrupt=*/true);
  std::optional<model::DistilResult> result;
  {
    Reporter reporter(options.json);
    result =
        model::Distil(options.spec, options.context, [&](const model::DistilProgress& progress) {
          reporter.Show(progress);
          return !StopRequested();
        });
  }
  if (!result) {
    std::cerr << "proad-trainer: stopped; run the same command again to continue from "
              << options.context.directory.string() << "\n";
    return kTrainerStopped;
  }
  for (const std::string& file : result->skipped) std::cerr << "skipped " << file << "\n";
  if (!options.json) {
    std::cout << "unexplained share of the teacher's variance in held-out views: "
              << Shares(result->unexplained) << "\nwrote " << options.context.output.string()
              << " and its card, " << options.context.output.string() << ".json\n";
  }
  return kTrainerDone;
}

}  // namespace

void AddDistilCommand(CLI::App& command, Command& run) {
  const auto options = std::make_shared<Options>();
  model::DistilSpec& spec = options->spec;
  model::DistilOptions& how = spec.options;
  command
      .add_option(
          "--teacher", spec.teacher,
          "Weights of the teacher: any encoder, or SqueezeNet 1.1 (safetensors, PyTorch zip)")
      ->required()
      ->check(CLI::ExistingFile);
  command
      .add_option("--photographs", spec.photographs,
                  "Folders of photographs of any content; no labels are needed")
      ->required()
      ->check(CLI::ExistingDirectory);
  command
      .add_option("--out", options->context.output, "Encoder file to write; FILE.json describes it")
      ->required()
      ->option_text("FILE");
  command
      .add_option("--work", options->context.directory,
                  "Directory of checkpoints (default: FILE.work)")
      ->option_text("DIR");
  command.add_option("--preset", spec.preset, "Network of the new encoder")
      ->check(CLI::IsMember(model::PresetNames()))
      ->capture_default_str();
  command
      .add_option("--init-from", spec.init_from,
                  "Encoder whose weights to start from (default: random weights)")
      ->check(CLI::ExistingFile);
  command.add_option("--device", spec.device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  command.add_option("--steps", how.steps, "Number of training steps")->capture_default_str();
  command.add_option("--batch-patches", how.batch_patches, "Patches in a batch")
      ->capture_default_str();
  command
      .add_option("--sides", how.sides,
                  "Sides of views in pixels of the student; each batch uses one of them")
      ->capture_default_str();
  command
      .add_option("--tiles", how.view.tiles,
                  "Numbers of photographs along a side of a view; each view uses one of them")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  command.add_option("--learning-rate", how.learning_rate, "Highest learning rate")
      ->capture_default_str();
  command.add_option("--seed", how.seed, "Seed of all random choices")->capture_default_str();
  command.add_option("--precision", options->precision, "fp32, tf32 or bf16")
      ->capture_default_str();
  command
      .add_option("--checkpoint-seconds", options->context.checkpoint_seconds,
                  "Least number of seconds between checkpoints")
      ->check(CLI::NonNegativeNumber);
  AddImageOptions(command, options->context.limits);
  command.add_flag("--json", options->json, "Print the progress as lines of JSON");
  command.callback([options, &run] {
    options->spec.options.precision = model::ParsePrecision(options->precision);
    if (options->context.directory.empty()) {
      options->context.directory = options->context.output.string() + ".work";
    }
    options->context.code_version = Version();
    run = [options] { return Distil(*options); };
  });
}

}  // namespace proad::server
