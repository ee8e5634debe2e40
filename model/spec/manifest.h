// The manifest of a checkpoint directory: everything about a version except its weights.
//
// No LibTorch. Values and pure functions; safe to use from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "model/picture/heatmap.h"
#include "model/picture/preprocess.h"
#include "model/spec/config.h"
#include "model/spec/recipe.h"

namespace proad::model {

inline constexpr int kManifestFormat = 1;
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kModelFile[] = "model.safetensors";
inline constexpr char kEncoderFile[] = "encoder.safetensors";
inline constexpr char kProbeFile[] = "probe.png";

// The origin of the frozen encoder.
struct EncoderIdentity {
  std::string source;   // name of the imported file
  std::string sha256;   // of that file
  std::string dialect;  // of the file's names (encoder_names.h)

  bool operator==(const EncoderIdentity&) const = default;
};

// The threshold of one category.
struct Calibration {
  double threshold = 0;            // in units of score; > 0
  double false_reject_budget = 0;  // share of good parts that may be rejected
  int64_t images = 0;              // good images behind it

  bool operator==(const Calibration&) const = default;
};

// An image in the directory and its score when the version was written.
struct Probe {
  std::string file = kProbeFile;
  double score = 0;

  bool operator==(const Probe&) const = default;
};

struct FileDigest {
  std::string sha256;  // 64 lower-case hex digits
  int64_t bytes = 0;

  bool operator==(const FileDigest&) const = default;
};

// How the version was trained; enough to repeat the training on the same images.
struct TrainingRecord {
  Recipe recipe;          // with overrides applied, the seed included
  int64_t steps = 0;      // taken
  int64_t images = 0;     // trained on
  std::string init_from;  // "name@version" of the initial weights; "" for fresh ones

  bool operator==(const TrainingRecord&) const = default;
};

struct Manifest {
  std::string name;     // of the model
  std::string version;  // within the name
  std::string created;  // RFC 3339, UTC
  std::string code_version;
  ModelConfig config;
  Preprocessing preprocessing;
  EncoderIdentity encoder;
  MapRange map_range;
  std::optional<Calibration> calibration;         // of the categories that have none of their own
  std::map<std::string, Calibration> categories;  // by category
  // Means are named like "image_auroc", figures of a category like "image_auroc/pcb".
  std::map<std::string, double> metrics;
  std::string data_fingerprint;            // of the training data; "" when imported
  std::string parent_job;                  // "" when imported
  std::optional<TrainingRecord> training;  // absent when imported
  std::optional<Probe> probe;
  std::map<std::string, FileDigest> files;  // every other file of the directory

  // SHA-256 of the manifest file; set by ReadManifest and WriteVersion, not stored in the file.
  std::string hash;

  bool operator==(const Manifest&) const = default;
};

// The current time in the format of Manifest::created.
std::string NowUtc();

// Whether `name` is a valid name of a model or a version: [a-z0-9][a-z0-9._-]{0,63}. Such a name is
// a safe directory name.
bool IsValidName(std::string_view name);

// Throws InvalidInput that names the first wrong field, as a path ("categories.pcb.threshold"), and
// the allowed values. Checks the configuration and the preprocessing too, but not `hash`.
void Validate(const Manifest& manifest);

// Parses and validates a manifest, and sets `hash`. A key that is missing, repeated, of another
// type or unknown (perhaps of a newer format) is an error. Throws CorruptFile with the path of the
// key.
Manifest ParseManifest(const std::string& json, const std::string& source);

// Indented JSON. ParseManifest reads it back to an equal value, with exact numbers. Equal manifests
// give equal bytes. Throws InvalidInput if a text is not UTF-8.
std::string ToJson(const Manifest& manifest);

// Throws FileError or CorruptFile. Does not read the other files of the version.
Manifest ReadManifestFile(const std::filesystem::path& path);

// Reads DIRECTORY/manifest.json.
Manifest ReadManifest(const std::filesystem::path& directory);

// Compares every listed file with its size and SHA-256. Throws CorruptFile that names the file.
void VerifyFiles(const std::filesystem::path& directory, const Manifest& manifest);

}  // namespace proad::model
