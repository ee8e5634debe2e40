#include "model/network/import_version.h"

#include <system_error>
#include <utility>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/network/checkpoint.h"
#include "model/network/pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/spec/preset.h"
#include "model/spec/version_directory.h"

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

// The store keeps the pointer to the active version beside the folders of the versions.
void CheckVersion(const std::string& version) {
  CheckName("version", version);
  if (version != "active") return;
  throw InvalidInput("version", "NAME_INVALID",
                     "version 'active' cannot be used: the file that names the active version has "
                     "this name; a number or a date is expected");
}

void CheckDigest(const fs::path& file, const std::string& digest, const std::string& expected,
                 const fs::path& manifest_file) {
  if (digest == expected) return;
  throw InvalidInput("manifest", "MANIFEST_MISMATCH",
                     manifest_file.string() + " is of other weights than " + file.string() +
                         ": it names the SHA-256 " + expected + ", and the file has " + digest +
                         "; thresholds hold for the weights that they were measured with only");
}

// The manifest of an import without --manifest.
Manifest NewManifest(const ImportOptions& options) {
  Manifest manifest;
  manifest.config = PresetConfig(options.preset);
  manifest.config.encoder.position_resize = options.position_resize;
  manifest.preprocessing = PresetPreprocessing(options.preset);
  manifest.map_range = options.map_range.value_or(PresetMapRange(options.preset));
  return manifest;
}

// The manifest of a published version, checked against the files.
Manifest TakeManifest(const ImportOptions& options, const std::string& encoder_digest) {
  Manifest manifest = ReadManifestFile(options.manifest_file);
  if (encoder_digest != manifest.files[kEncoderFile].sha256) {
    CheckDigest(options.encoder_file, encoder_digest, manifest.encoder.sha256,
                options.manifest_file);
  }
  CheckDigest(options.weights_file, Sha256File(options.weights_file),
              manifest.files[kModelFile].sha256, options.manifest_file);
  manifest.files.clear();
  manifest.parent_job.clear();
  return manifest;
}

}  // namespace

ImportedVersion ImportVersion(const ImportOptions& options) {
  CheckName("name", options.name);
  if (!options.version.empty()) CheckVersion(options.version);

  ImportedVersion imported;
  const std::string encoder_digest = Sha256File(options.encoder_file);
  Manifest manifest =
      options.manifest_file.empty() ? NewManifest(options) : TakeManifest(options, encoder_digest);
  manifest.name = options.name;
  manifest.code_version = options.code_version;
  manifest.created = NowUtc();

  const ImportedEncoder encoder =
      ImportEncoder(ReadTensorFile(options.encoder_file), manifest.config.encoder);
  if (encoder.config.registers != manifest.config.encoder.registers) {
    imported.warnings.push_back(options.encoder_file.string() + ": the encoder has " +
                                std::to_string(encoder.config.registers) +
                                " register tokens; the preset's has " +
                                std::to_string(manifest.config.encoder.registers));
  }
  manifest.config.encoder = encoder.config;
  manifest.encoder = {options.encoder_file.filename().string(), encoder_digest,
                      NameOf(encoder.dialect)};
  if (KnownEncoder(manifest.encoder.sha256).empty()) {
    imported.warnings.push_back(
        options.encoder_file.string() + ": SHA-256 " + manifest.encoder.sha256 +
        " is that of no published encoder; expected only for one of your own");
  }
  Validate(manifest.config, manifest.preprocessing);
  ProAd model(manifest.config);
  LoadEncoder(*model->encoder, encoder);
  LoadTrainable(model, ReadTensorFile(options.weights_file));
  model->eval();

  const fs::path model_directory = options.store / options.name;
  std::error_code error;
  fs::create_directories(options.store, error);
  if (error) throw FileError(options.store.string(), "make the store", error.value());
  if (fs::exists(model_directory, error)) RemoveStale(model_directory);
  manifest.version = options.version.empty() ? NextVersion(model_directory) : options.version;
  imported.directory = model_directory / manifest.version;
  imported.manifest = SaveCheckpoint(model, std::move(manifest), ProbeImage(), imported.directory);
  return imported;
}

}  // namespace proad::model
