#include "server/trainer/plan_command.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/files/error.h"
#include "model/spec/config.h"
#include "model/spec/manifest.h"
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
      throw model::InvalidInput("set", reason::kValueInvalid,
                                "--set wants KEY=VALUE, and has " + Quote(text));
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
                                  " is not a name: up to 64 of a-z, 0-9, '-', '_' and '.', "
                                  "beginning with a letter or a digit, are expected");
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

// Several processes may plan the same job at the same time.
int Plan(const Options& options) {
  const JobSpec spec = SpecOf(options);
  std::filesystem::create_directories(options.job);
  absl::StatusOr<JobSpec> there = ReadSpec(options.job);
  if (absl::IsNotFound(there.status())) {
    const absl::Status written = WriteSpec(options.job, spec);
    if (!written.ok()) throw std::runtime_error(std::string(written.message()));
    there = ReadSpec(options.job);
  }
  if (!there.ok()) throw std::runtime_error(std::string(there.status().message()));
  if (!(*there == spec)) {
    throw model::InvalidInput("job", reason::kAlreadyExists,
                              (options.job / kSpecFile).string() +
                                  " is another job; name another directory, or remove this one");
  }
  std::cout << (options.job / kSpecFile).string() << "\n";
  return 0;
}

}  // namespace

void AddPlanCommand(CLI::App& app, Command& run) {
  const auto options = std::make_shared<Options>();
  model::TrainSpec& train = options->spec.train;
  CLI::App* const command =
      app.add_subcommand("plan", "Write down a training job for `train`, without a server");
  command->add_option("--job", options->job, "Directory of the job; gets its spec.json")
      ->required();
  command->add_option("--name", train.model_name, "Model that gets the version")->required();
  command->add_option("--dataset", train.dataset, "Folder of pictures, or a list of them")
      ->required()
      ->check(CLI::ExistingPath);
  command->add_option("--category", train.categories, "Product to train on (default: all)");
  command->add_option("--encoder-file", train.encoder_file, "The frozen encoder's weights")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("--preset", train.preset, "Network")
      ->check(CLI::IsMember(model::PresetNames()))
      ->capture_default_str();
  command->add_option("--recipe", options->recipe, "How it is trained")
      ->check(CLI::IsMember(model::RecipeNames()))
      ->capture_default_str();
  command
      ->add_option("--set", options->overrides, "KEY=VALUE of the recipe, for example epochs=100")
      ->type_name("KEY=VALUE");
  command->add_option("--device", train.device, "auto, cpu or cuda")->capture_default_str();
  command->add_flag("--skip-unreadable", train.skip_unreadable,
                    "Leave pictures out that cannot be read");
  command->add_option("--world-size", train.world_size, "Processes that train together")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->callback([options, &run] {
    // As the trainer wants it: a link that is put on the way later is not followed.
    options->spec.train.dataset = std::filesystem::weakly_canonical(options->spec.train.dataset);
    options->spec.train.encoder_file = std::filesystem::absolute(options->spec.train.encoder_file);
    run = [options] { return Plan(*options); };
  });
}

}  // namespace proad::server
