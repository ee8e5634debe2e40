// Versions in a model store that are whole but for their weights, and a loader that makes fake
// models of them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "model/spec/version_directory.h"
#include "server/serving/servable_model.h"
#include "server/util/exception_status.h"
#include "tests/support/fake_model.h"
#include "tests/support/temp_directory.h"

namespace proad::server {

inline model::Manifest StoredManifest(const std::string& name, const std::string& version) {
  model::Manifest manifest;
  manifest.name = name;
  manifest.version = version;
  manifest.created = "2026-03-01T09:30:00Z";
  manifest.code_version = "proad 0.1.0";
  manifest.config = model::PresetConfig("proad-tiny");
  manifest.preprocessing = model::PresetPreprocessing("proad-tiny");
  manifest.encoder = {"encoder.safetensors", std::string(64, 'e'), "official"};
  manifest.categories["pcb"] = {.threshold = 0.25, .false_reject_budget = 0.01, .images = 50};
  manifest.metrics["image_auroc"] = 0.97;
  return manifest;
}

// Publishes STORE/NAME/VERSION.
inline model::Manifest WriteFakeVersion(const std::filesystem::path& store, const std::string& name,
                                        const std::string& version) {
  return model::WriteVersion(store / name / version, StoredManifest(name, version),
                             [](const std::filesystem::path& staging) {
                               testing::WriteText(staging / model::kModelFile, "weights");
                             });
}

// Puts another version of that name and number, with another hash, in the place of
// STORE/NAME/VERSION, as somebody who copies directories does.
inline model::Manifest ReplaceFakeVersion(const std::filesystem::path& store,
                                          const std::string& name, const std::string& version) {
  model::Manifest manifest = StoredManifest(name, version);
  manifest.metrics["image_auroc"] = 0.5;
  const std::filesystem::path copy = store / name / "copy";
  manifest = model::WriteVersion(copy, manifest, [](const std::filesystem::path& staging) {
    testing::WriteText(staging / model::kModelFile, "other weights");
  });
  std::filesystem::remove_all(store / name / version);
  std::filesystem::rename(copy, store / name / version);
  return manifest;
}

// Makes a FakeModel of the manifest.
inline absl::StatusOr<ModelHandle> LoadFake(const std::filesystem::path& directory) {
  try {
    return std::make_shared<FakeModel>(model::ReadManifest(directory));
  } catch (...) {
    return StatusOfCurrentException();
  }
}

}  // namespace proad::server
