#include "model/import_version.h"

#include <system_error>
#include <utility>

#include "model/checkpoint.h"
#include "model/error.h"
#include "model/pro_ad.h"
#include "model/probe.h"
#include "model/sha256.h"
#include "model/version_directory.h"
#include "model/weight_import.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

void CheckName(const std::string& field, const std::string& name) {
  if (IsValidName(name)) return;
  throw InvalidInput(
      field, "NAME_INVALID",
      field + " '" + name +
          "' cannot be used: up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a "
          "letter or a digit, are expected");
}

}  // namespace

MapRange DefaultMapRange(std::string_view preset) {
  // Measured with the shipped weights over factory4's test pictures: half of all pixels lie below
  // 0.036, the largest value of a good picture is 0.079 in the median and 0.12 at the 95th
  // percentile, that of a visible defect 0.15 and more.
  if (preset == "proad-tiny") return {0.04f, 0.16f};
  return {};
}

ImportedVersion ImportVersion(const ImportOptions& options) {
  CheckName("name", options.name);
  if (!options.version.empty()) CheckName("version", options.version);

  ImportedVersion imported;
  Manifest manifest;
  manifest.config = PresetConfig(options.preset);
  manifest.config.encoder.position_resize = options.position_resize;
  manifest.preprocessing = PresetPreprocessing(options.preset);
  manifest.map_range = options.map_range.value_or(DefaultMapRange(options.preset));
  manifest.name = options.name;
  manifest.code_version = options.code_version;
  manifest.created = NowUtc();

  const ImportedEncoder encoder =
      ImportEncoder(ReadTensorFile(options.encoder_file), manifest.config.encoder);
  manifest.config.encoder = encoder.config;
  manifest.encoder = {options.encoder_file.filename().string(), Sha256File(options.encoder_file),
                      NameOf(encoder.dialect)};
  if (KnownEncoder(manifest.encoder.sha256).empty()) {
    imported.warnings.push_back(
        options.encoder_file.string() + ": SHA-256 " + manifest.encoder.sha256 +
        " is that of no published encoder; expected only for one of your own");
  }
  Validate(manifest.config, manifest.preprocessing);
  ProAd model(manifest.config);
  LoadEncoder(model->encoder, encoder);
  LoadTrainable(model, ReadTensorFile(options.weights_file));
  model->eval();

  const fs::path model_directory = options.store / options.name;
  std::error_code error;
  fs::create_directories(options.store, error);
  if (error) throw FileError(options.store.string(), "make the store", error.value());
  if (fs::exists(model_directory, error)) RemoveStale(model_directory);
  manifest.version = options.version.empty() ? NextVersion(model_directory) : options.version;
  imported.directory = model_directory / manifest.version;
  imported.manifest =
      SaveCheckpoint(model, std::move(manifest), ProbePicture(), imported.directory);
  return imported;
}

}  // namespace proad::model
