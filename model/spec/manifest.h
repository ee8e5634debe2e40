// The manifest of a checkpoint directory: what a version is, beside its weights.
//
// No LibTorch. A plain value; safe to read from any thread.
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

// Where the frozen encoder came from.
struct EncoderIdentity {
  std::string source;   // file it was imported from, name only
  std::string sha256;   // of that file
  std::string dialect;  // "official", "huggingface", "timm" or "pyramid"

  bool operator==(const EncoderIdentity&) const = default;
};

// The threshold of one category.
struct Calibration {
  double threshold = 0;            // in units of score; > 0
  double false_reject_budget = 0;  // share of good parts that it may reject
  int64_t images = 0;              // good pictures it was made from

  bool operator==(const Calibration&) const = default;
};

// A picture in the directory and the score that the version gave it when it was written.
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

// How the version was trained; enough to train it again on the same pictures.
struct TrainingRecord {
  Recipe recipe;          // overrides applied, the seed among them
  int64_t steps = 0;      // taken
  int64_t images = 0;     // trained on
  std::string init_from;  // "name@version" whose weights it started from; "" for fresh ones

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
  std::optional<Calibration> calibration;         // holds for every category without one of its own
  std::map<std::string, Calibration> categories;  // by category
  // Means as "image_auroc", those of a category as "image_auroc/pcb".
  std::map<std::string, double> metrics;
  std::string data_fingerprint;            // of the training data; "" when imported
  std::string parent_job;                  // "" when imported
  std::optional<TrainingRecord> training;  // absent when imported
  std::optional<Probe> probe;
  std::map<std::string, FileDigest> files;  // every other file of the directory

  // SHA-256 of the manifest file itself, filled by ReadManifest and WriteVersion; not stored in it.
  std::string hash;

  bool operator==(const Manifest&) const = default;
};

// Now, as Manifest::created has it.
std::string NowUtc();

// Whether `name` can name a model or a version: [a-z0-9][a-z0-9._-]{0,63}. Such a name is safe as a
// directory.
bool IsValidName(std::string_view name);

// Throws InvalidInput naming the first field (as a path, "categories.pcb.threshold") that is
// impossible and what would be right. The configuration and the preprocessing are part of it;
// `hash` is not looked at.
void Validate(const Manifest& manifest);

// Parses and validates a manifest; fills `hash`. Keys that are missing, unknown (so that a newer
// format is never misread), given twice or of another type are errors. Throws CorruptFile naming
// the key by its path.
Manifest ParseManifest(const std::string& json, const std::string& source);

// Indented JSON that ParseManifest reads back to an equal value, numbers to the last bit. The same
// manifest gives the same bytes. Throws InvalidInput when a text in it is not UTF-8.
std::string ToJson(const Manifest& manifest);

// Throws FileError or CorruptFile. Does not look at the other files of a version.
Manifest ReadManifestFile(const std::filesystem::path& path);

// DIR/manifest.json.
Manifest ReadManifest(const std::filesystem::path& directory);

// Compares every file that the manifest lists with its size and SHA-256. Throws CorruptFile naming
// the file.
void VerifyFiles(const std::filesystem::path& directory, const Manifest& manifest);

}  // namespace proad::model
