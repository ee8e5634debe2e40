// proad-trainer: everything that needs LibTorch but no server. The command line `proad` starts it
// for `import`, `evaluate`, `dataset`, `encoder` and `doctor`; the server starts it for training
// jobs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "model/network/device.h"
#include "model/network/import_version.h"
#include "model/spec/preset.h"
#include "server/trainer/command.h"
#include "server/trainer/dataset_command.h"
#include "server/trainer/distil_command.h"
#include "server/trainer/evaluate_command.h"
#include "server/trainer/plan_command.h"
#include "server/trainer/train_command.h"
#include "server/util/cores.h"
#include "server/util/process_settings.h"
#include "server/version.h"

// Read by jemalloc: keep what was freed for half a minute, longer than a training step, which would
// otherwise give its activations back to the system to fetch them again.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,oversize_threshold:0,dirty_decay_ms:30000,muzzy_decay_ms:0";
}

namespace {

using proad::server::Command;

// Of a server with the configuration's defaults on `device`.
nlohmann::ordered_json ServerThreads(const std::string& device) {
  const int cores = proad::server::UsableCores();
  return {{"cores", cores},
          {"preprocess", cores},
          {"workers", proad::server::WorkersOn(device)},
          {"torch", cores}};
}

int Doctor() {
  const proad::model::Runtime runtime = proad::model::DescribeRuntime();
  const std::string device = proad::model::ResolveDevice("auto");
  nlohmann::ordered_json report = {{"version", proad::server::Version()},
                                   {"commit", proad::Commit()},
                                   {"libtorch", runtime.libtorch},
                                   {"cuda", runtime.cuda},
                                   {"cpu_capability", runtime.cpu_capability},
                                   {"mkl", runtime.mkl},
                                   {"onednn", runtime.onednn},
                                   {"threads", runtime.threads},
                                   {"device", device},
                                   {"precision", "fp32"},
                                   {"server_threads", ServerThreads(device)},
                                   {"gpus", nlohmann::json::array()}};
  for (const proad::model::Gpu& gpu : runtime.gpus) {
    report["gpus"].push_back(
        {{"name", gpu.name}, {"memory_bytes", gpu.memory}, {"capability", gpu.capability}});
  }
  std::cout << report.dump(2) << "\n";
  return 0;
}

int Import(const proad::model::ImportOptions& options) {
  const proad::model::ImportedVersion imported = proad::model::ImportVersion(options);
  for (const std::string& warning : imported.warnings) std::cerr << "warning: " << warning << "\n";
  const proad::model::Manifest& manifest = imported.manifest;
  std::cout << "wrote " << manifest.name << "@" << manifest.version << " to "
            << imported.directory.string() << "\n  preset " << manifest.config.preset << ", input "
            << manifest.config.input_width << "x" << manifest.config.input_height << ", encoder in "
            << manifest.encoder.dialect << " names"
            << "\n  manifest " << manifest.hash << "\n";
  return 0;
}

void AddDoctorCommand(CLI::App& app, Command& run) {
  CLI::App* const command =
      app.add_subcommand("doctor", "Say what LibTorch can compute on here, as JSON");
  command->callback([&run] { run = Doctor; });
}

void AddImportCommand(CLI::App& app, Command& run) {
  using proad::model::PositionResize;
  struct Options {
    proad::model::ImportOptions import;
    proad::model::MapRange map_range;
  };
  const auto options = std::make_shared<Options>();
  proad::model::ImportOptions& import = options->import;
  import.code_version = std::string(proad::server::Version());
  CLI::App* const command = app.add_subcommand("import", "Make a model version from weight files");
  command->add_option("--store", import.store, "Model store directory")->required();
  command->add_option("--name", import.name, "Name of the model")->required();
  command->add_option("--version", import.version, "Version (default: the next number)");
  command->add_option("--preset", import.preset, "Network")
      ->check(CLI::IsMember(proad::model::PresetNames()))
      ->capture_default_str();
  command
      ->add_option("--encoder", import.encoder_file, "Encoder weights: safetensors or PyTorch zip")
      ->required();
  command
      ->add_option("--weights", import.weights_file, "Pro-AD weights: safetensors or PyTorch zip")
      ->required();
  command->add_option("--positions", import.position_resize, "How positions are resized")
      ->transform(CLI::CheckedTransformer(std::map<std::string, PositionResize>{
          {"official", PositionResize::kOfficial}, {"lineage", PositionResize::kLineage}}));
  command
      ->add_option("--manifest", import.manifest_file,
                   "Manifest of the version that both files are from: its network, thresholds and "
                   "figures are taken over")
      ->check(CLI::ExistingFile)
      ->excludes("--preset", "--positions");
  CLI::Option* const map_high = command
                                    ->add_option("--map-high", options->map_range.high,
                                                 "Map value drawn as the hottest colour")
                                    ->check(CLI::PositiveNumber)
                                    ->excludes("--manifest");
  command->callback([options, map_high, &run] {
    if (*map_high) options->import.map_range = options->map_range;
    run = [options] { return Import(options->import); };
  });
}

}  // namespace

int main(int argc, char** argv) {
  proad::server::RestartWithShortOpenMpSpin(argv);
  CLI::App app("Work on models that needs LibTorch but no server", "proad-trainer");
  app.set_version_flag("--version", proad::server::VersionText("proad-trainer"));
  app.require_subcommand(1);
  Command run;
  proad::server::AddDatasetCommand(app, run);
  proad::server::AddDistilCommand(app, run);
  AddDoctorCommand(app, run);
  proad::server::AddEvaluateCommand(app, run);
  AddImportCommand(app, run);
  proad::server::AddPlanCommand(app, run);
  proad::server::AddTrainCommand(app, run);
  CLI11_PARSE(app, argc, argv);
  try {
    return run();
  } catch (const std::exception& error) {
    std::cerr << "proad-trainer: " << error.what() << "\n";
    return 1;
  }
}
