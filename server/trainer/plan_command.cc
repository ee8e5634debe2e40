#include "server/trainer/plan_command.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/spec/config.h"
#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "model/spec/recipe.h"
#include "server/jobs/job_files.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"

namespace proad::server {
namespace {

struct Options {
  std::filesystem::path job;
  std::string recipe = "quick";
  std::vector<std::string> overrides;  // KEY=VALUE
  JobSpec spec;
};

void ApplyOverrides(const Options& options, model::Recipe& recipe) {
  for (const std::string& text : options.overrides) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      throw model::InvalidInput(
          "set", reason::kValueInvalid,
          "--set needs KEY=VALUE, for example epochs=100; it has " + Quote(text));
    }
    model::Override(recipe, text.substr(0, equals), text.substr(equals + 1));
  }
  model::Validate(recipe);
}

JobSpec SpecOf(const Options& options) {
  JobSpec spec = options.spec;
  model::TrainSpec& train = spec.train;
  if (!model::IsValidName(train.model_name)) {
    throw model::InvalidInput("name", reason::kNameInvalid,
                              Quote(train.model_name) +
                                  " is not a valid name; use at most 64 of the characters a-z, "
                                  "0-9, '-', '_' and '.', and begin with a letter or a digit");
  }
  train.recipe = model::FindRecipe(options.recipe);
  ApplyOverrides(options, train.recipe);
  model::NetworkOf(train.preset, train.recipe);
  if (train.recipe.batch_size % train.world_size != 0) {
    throw model::InvalidInput(
        "world_size", reason::kBatchNotDivisible,
        absl::StrCat("the batch of ", train.recipe.batch_size, " cannot be split between ",
                     train.world_size, " processes"));
  }
  return spec;
}

int Plan(const Options& options) {
  JobSpec spec = SpecOf(options);
  // Random, so that a version of an earlier job in a directory of the same name is not taken for the
  // version of this job.
  spec.id = model::UniqueName(JobDirectory(options.job).filename().string() + "-");
  std::filesystem::create_directories(options.job);
  const absl::Status created = CreateSpec(options.job, spec);
  if (!created.ok() && !absl::IsAlreadyExists(created)) {
    throw std::runtime_error(std::string(created.message()));
  }
  const absl::StatusOr<JobSpec> existing = ReadSpec(options.job);
  if (!existing.ok()) throw std::runtime_error(std::string(existing.status().message()));
  spec.id = existing->id;
  if (!(*existing == spec)) {
    throw model::InvalidInput("job", reason::kAlreadyExists,
                              (options.job / kSpecFile).string() +
                                  " belongs to another job; use another directory, or remove this "
                                  "one");
  }
  std::cout << (options.job / kSpecFile).string() << "\n";
  return 0;
}

}  // namespace

void AddPlanCommand(CLI::App& command, Command& run) {
  const auto options = std::make_shared<Options>();
  model::TrainSpec& train = options->spec.train;
  command.add_option("--job", options->job, "Directory of the job, for its spec.json")->required();
  command.add_option("--name", train.model_name, "Model of the new version")->required();
  command
      .add_option("--dataset", train.dataset,
                  "Dataset: a folder, or the list of a CSV or Real-IAD dataset")
      ->required()
      ->check(CLI::ExistingPath);
  command.add_option("--category", train.categories,
                     "Category to train on; may be given again (default: all)");
  command.add_option("--encoder-file", train.encoder_file, "Weights of the frozen encoder")
      ->required()
      ->check(CLI::ExistingFile);
  command.add_option("--preset", train.preset, "Network")
      ->check(CLI::IsMember(model::PresetNames()))
      ->capture_default_str();
  command.add_option("--recipe", options->recipe, "Training recipe")
      ->check(CLI::IsMember(model::RecipeNames()))
      ->capture_default_str();
  command
      .add_option("--set", options->overrides,
                  "Override of a value of the recipe, for example epochs=100")
      ->type_name("KEY=VALUE");
  command.add_option("--device", train.device, "auto, cpu or cuda")->capture_default_str();
  command.add_flag("--skip-unreadable", train.skip_unreadable, "Skip images that cannot be read");
  train.orientation = model::Orientation::kIgnore;
  train.bits = 0;
  command
      .add_option_function<std::string>(
          "--orientation",
          [&train](const std::string& name) { train.orientation = model::ParseOrientation(name); },
          "Turn images as their orientation tag says (apply), or ignore it (default)")
      ->check(CLI::IsMember({"ignore", "apply"}));
  command
      .add_option_function<int>(
          "--image-bits", [&train](int bits) { train.bits = bits; },
          "Significant bits of 16 bit samples: 10, 12, 14, 16, or 0 (default): as the files state")
      ->check(CLI::IsMember({0, 10, 12, 14, 16}));
  command.add_option("--world-size", train.world_size, "Number of processes that train together")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.callback([options, &run] {
    // The trainer opens this path without following links, so resolve the links here.
    options->spec.train.dataset = std::filesystem::weakly_canonical(options->spec.train.dataset);
    options->spec.train.encoder_file = std::filesystem::absolute(options->spec.train.encoder_file);
    run = [options] { return Plan(*options); };
  });
}

}  // namespace proad::server
