#include "model/spec/manifest.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <system_error>
#include <vector>

#include "model/dataset/category_name.h"
#include "model/files/error.h"
#include "model/files/mapped_file.h"
#include "model/files/sha256.h"
#include "model/files/text.h"
#include "model/spec/encoder_names.h"

namespace proad::model {
namespace {

[[noreturn]] void Refuse(const std::string& field, const std::string& message) {
  throw InvalidInput(field, "MANIFEST_INVALID", field + " " + message);
}

bool IsSha256(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void CheckSha256(const std::string& field, const std::string& value) {
  if (!IsSha256(value)) Refuse(field, "must be 64 lower-case hex digits");
}

void CheckName(const std::string& field, const std::string& value) {
  if (!IsValidName(value)) {
    Refuse(field,
           "is " + Quote(value) +
               "; it must be 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit");
  }
}

// Logs and tables print texts on one line.
void CheckText(const std::string& field, const std::string& value) {
  constexpr size_t kMax = 1024;
  if (value.size() > kMax) Refuse(field, "is longer than " + std::to_string(kMax) + " bytes");
  if (std::any_of(value.begin(), value.end(),
                  [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
    Refuse(field, "has a control character: " + Quote(value));
  }
}

// The name of a file in the version's directory.
void CheckFileName(const std::string& field, const std::string& value) {
  if (value.empty() || value.size() > 255 || value.front() == '.' ||
      value.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
    Refuse(field, "must be a plain file name, without '/' or a leading '.', not " + Quote(value));
  }
  CheckText(field, value);
}

// RFC 3339 with 'Z': 2026-11-23T15:44:00Z, a fraction of a second allowed.
void CheckTime(const std::string& field, const std::string& value) {
  constexpr std::string_view kForm = "dddd-dd-ddTdd:dd:dd";
  bool ok = value.size() > kForm.size() && value.size() <= 40 && value.back() == 'Z';
  for (size_t i = 0; ok && i < kForm.size(); ++i) {
    ok = kForm[i] == 'd' ? value[i] >= '0' && value[i] <= '9' : value[i] == kForm[i];
  }
  for (size_t i = kForm.size(); ok && i + 1 < value.size(); ++i) {
    ok = i == kForm.size() ? value[i] == '.' && value.size() > i + 2
                           : value[i] >= '0' && value[i] <= '9';
  }
  if (!ok) Refuse(field, "is " + Quote(value) + "; it must be UTC like 2026-11-23T15:44:00Z");
}

void CheckCalibration(const std::string& field, const Calibration& calibration) {
  if (!(std::isfinite(calibration.threshold) && calibration.threshold > 0)) {
    Refuse(field + ".threshold", "must be a finite number above 0");
  }
  if (!(calibration.false_reject_budget >= 0 && calibration.false_reject_budget <= 1)) {
    Refuse(field + ".false_reject_budget", "must be a share, 0 to 1");
  }
  if (calibration.images < 0) Refuse(field + ".images", "must not be negative");
}

void CheckEncoderIdentity(const EncoderIdentity& encoder) {
  CheckFileName("encoder.source", encoder.source);
  CheckSha256("encoder.sha256", encoder.sha256);
  const std::vector<std::string> dialects = WeightDialectNames();
  if (std::find(dialects.begin(), dialects.end(), encoder.dialect) == dialects.end()) {
    std::string known;
    for (const std::string& name : dialects) known += (known.empty() ? "" : ", ") + Quote(name);
    Refuse("encoder.dialect", "is " + Quote(encoder.dialect) + "; it must be one of " + known);
  }
}

void CheckFiles(const Manifest& manifest) {
  for (const auto& [name, digest] : manifest.files) {
    CheckFileName("files", name);
    const std::string field = "files." + name;
    if (name == kManifestFile) Refuse(field, "is the manifest, which cannot list itself");
    CheckSha256(field + ".sha256", digest.sha256);
    if (digest.bytes < 0) Refuse(field + ".bytes", "must not be negative");
  }
  if (manifest.probe) {
    if (!manifest.files.contains(manifest.probe->file)) {
      Refuse("probe.file", "is " + Quote(manifest.probe->file) + ", which is not among \"files\"");
    }
    if (!std::isfinite(manifest.probe->score)) Refuse("probe.score", "must be a finite number");
  }
}

void CheckConfig(const Manifest& manifest) {
  CheckName("config.preset", manifest.config.preset);
  try {
    Validate(manifest.config, manifest.preprocessing);
  } catch (const InvalidInput& error) {
    const bool outside = error.field().starts_with("preprocessing");
    throw InvalidInput(outside ? error.field() : "config." + error.field(), error.reason(),
                       outside ? error.what() : std::string("config.") + error.what());
  }
}

}  // namespace

bool IsValidName(std::string_view name) {
  const auto alphanumeric = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 64 && alphanumeric(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

std::string NowUtc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[sizeof "2000-01-01T00:00:00Z"];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void Validate(const Manifest& manifest) {
  CheckName("name", manifest.name);
  CheckName("version", manifest.version);
  CheckTime("created", manifest.created);
  CheckText("code_version", manifest.code_version);
  CheckText("data_fingerprint", manifest.data_fingerprint);
  CheckText("parent_job", manifest.parent_job);
  if (manifest.training) {
    CheckText("training.init_from", manifest.training->init_from);
    Validate(manifest.training->recipe);
  }
  CheckConfig(manifest);
  CheckEncoderIdentity(manifest.encoder);
  const MapRange& range = manifest.map_range;
  if (!(std::isfinite(range.low) && std::isfinite(range.high) && range.low < range.high)) {
    Refuse("map_range", "must be two finite numbers, low below high");
  }
  if (manifest.calibration) CheckCalibration("calibration", *manifest.calibration);
  for (const auto& [name, calibration] : manifest.categories) {
    if (const std::string problem = CategoryNameProblem(name); !problem.empty()) {
      Refuse("categories", "has the name " + Quote(name) + ", which " + problem);
    }
    CheckCalibration("categories." + name, calibration);
  }
  for (const auto& [name, value] : manifest.metrics) {
    CheckText("metrics", name);
    if (!std::isfinite(value)) Refuse("metrics." + name, "must be a finite number");
  }
  CheckFiles(manifest);
}

Manifest ReadManifest(const std::filesystem::path& directory) {
  return ReadManifestFile(directory / kManifestFile);
}

Manifest ReadManifestFile(const std::filesystem::path& path) {
  const MappedFile file(path);
  constexpr size_t kMaxBytes = 16 << 20;
  if (file.bytes().size() > kMaxBytes) {
    throw CorruptFile(path,
                      "is larger than a manifest can be, " + std::to_string(kMaxBytes) + " bytes");
  }
  return ParseManifest(
      std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), path);
}

void VerifyFiles(const std::filesystem::path& directory, const Manifest& manifest) {
  for (const auto& [name, digest] : manifest.files) {
    const std::filesystem::path path = directory / name;
    std::error_code error;
    const uintmax_t bytes = std::filesystem::file_size(path, error);
    if (error) {
      throw CorruptFile(path, "is listed in the manifest but cannot be read: " + error.message());
    }
    if (bytes != static_cast<uintmax_t>(digest.bytes)) {
      throw CorruptFile(path, "has " + std::to_string(bytes) + " bytes; the manifest says " +
                                  std::to_string(digest.bytes));
    }
    if (const std::string found = Sha256File(path); found != digest.sha256) {
      throw CorruptFile(path, "has SHA-256 " + found + "; the manifest says " + digest.sha256);
    }
  }
}

}  // namespace proad::model
