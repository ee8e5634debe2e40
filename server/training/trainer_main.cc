// proad-trainer: everything that needs LibTorch but no server. The command line `proad` starts it
// for `import` and `doctor`; the server starts it for training jobs.
#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "model/device.h"
#include "model/import_version.h"
#include "server/util/process_settings.h"
#include "server/version.h"

namespace {

int Doctor() {
  const proad::model::Runtime runtime = proad::model::DescribeRuntime();
  nlohmann::ordered_json report = {{"libtorch", runtime.libtorch},
                                   {"cuda", runtime.cuda},
                                   {"cpu_capability", runtime.cpu_capability},
                                   {"mkl", runtime.mkl},
                                   {"onednn", runtime.onednn},
                                   {"threads", runtime.threads},
                                   {"device", proad::model::ResolveDevice("auto")},
                                   {"precision", "fp32"},
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

}  // namespace

int main(int argc, char** argv) {
  proad::server::WaitWithoutSpinning(argv);
  CLI::App app("Work on models that needs LibTorch but no server", "proad-trainer");
  app.set_version_flag("--version", std::string(proad::server::Version()));
  app.require_subcommand(1);

  proad::model::ImportOptions import_options;
  import_options.code_version = std::string(proad::server::Version());
  proad::model::MapRange map_range;
  CLI::App* import = app.add_subcommand("import", "Make a model version from weight files");
  import->add_option("--store", import_options.store, "Model store directory")->required();
  import->add_option("--name", import_options.name, "Name of the model")->required();
  import->add_option("--version", import_options.version, "Version (default: the next number)");
  import->add_option("--preset", import_options.preset, "Network")
      ->check(CLI::IsMember(proad::model::PresetNames()))
      ->capture_default_str();
  import
      ->add_option("--encoder", import_options.encoder_file,
                   "Encoder weights: safetensors or PyTorch zip")
      ->required();
  import
      ->add_option("--weights", import_options.weights_file,
                   "Pro-AD weights: safetensors or PyTorch zip")
      ->required();
  import->add_option("--positions", import_options.position_resize, "How positions are resized")
      ->transform(CLI::CheckedTransformer(std::map<std::string, proad::model::PositionResize>{
          {"official", proad::model::PositionResize::kOfficial},
          { "lineage",
            proad::model::PositionResize::kLineage }}));
  CLI::Option* map_high =
      import->add_option("--map-high", map_range.high, "Map value drawn as the hottest colour")
          ->check(CLI::PositiveNumber);

  CLI::App* doctor = app.add_subcommand("doctor", "Say what LibTorch can compute on here, as JSON");
  CLI11_PARSE(app, argc, argv);

  try {
    if (*doctor) return Doctor();
    if (*map_high) import_options.map_range = map_range;
    return Import(import_options);
  } catch (const std::exception& error) {
    std::cerr << "proad-trainer: " << error.what() << "\n";
    return 1;
  }
}
