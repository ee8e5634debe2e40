#include "server/trainer/import_command.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <memory>
#include <string>

#include "model/network/import_version.h"
#include "model/spec/preset.h"
#include "server/version.h"

namespace proad::server {
namespace {

struct Options {
  model::ImportOptions import;
  model::MapRange map_range;
};

int Import(const model::ImportOptions& options) {
  const model::ImportedVersion imported = model::ImportVersion(options);
  for (const std::string& warning : imported.warnings) std::cerr << "warning: " << warning << "\n";
  const model::Manifest& manifest = imported.manifest;
  std::cout << "wrote " << manifest.name << "@" << manifest.version << " to "
            << imported.directory.string() << "\n  preset " << manifest.config.preset << ", input "
            << manifest.config.input_width << "x" << manifest.config.input_height
            << ", names of the encoder's weights: " << manifest.encoder.dialect << "\n  manifest "
            << manifest.hash << "\n";
  return 0;
}

}  // namespace

void AddImportCommand(CLI::App& command, Command& run) {
  using model::PositionResize;
  const auto options = std::make_shared<Options>();
  model::ImportOptions& import = options->import;
  import.code_version = std::string(Version());
  command.add_option("--store", import.store, "Model store directory")->required();
  command.add_option("--name", import.name, "Name of the model")->required();
  command.add_option("--version", import.version, "Version (default: the next number)");
  command.add_option("--preset", import.preset, "Network")
      ->check(CLI::IsMember(model::PresetNames()))
      ->capture_default_str();
  command
      .add_option("--encoder", import.encoder_file, "Encoder weights: safetensors or PyTorch zip")
      ->required();
  command
      .add_option("--weights", import.weights_file, "Pro-AD weights: safetensors or PyTorch zip")
      ->required();
  command
      .add_option("--positions", import.position_resize,
                  "How position embeddings are resized: official or lineage")
      ->transform(CLI::CheckedTransformer(std::map<std::string, PositionResize>{
          {"official", PositionResize::kOfficial}, {"lineage", PositionResize::kLineage}}));
  command
      .add_option("--manifest", import.manifest_file,
                  "Manifest of the version that both files come from; the new version takes its "
                  "network, thresholds and metrics")
      ->check(CLI::ExistingFile)
      ->excludes("--preset", "--positions");
  CLI::Option* const map_high =
      command
          .add_option("--map-high", options->map_range.high,
                      "Map value that overlays draw in the hottest colour")
          ->check(CLI::PositiveNumber)
          ->excludes("--manifest");
  command.callback([options, map_high, &run] {
    if (*map_high) options->import.map_range = options->map_range;
    run = [options] { return Import(options->import); };
  });
}

}  // namespace proad::server
