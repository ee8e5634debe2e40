// Reads and writes the manifest as JSON; manifest.cc has the other functions.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/sha256.h"
#include "model/files/text.h"
#include "model/spec/manifest.h"

namespace proad::model {
namespace {

using nlohmann::json;

[[noreturn]] void Refuse(const std::string& field, const std::string& message) {
  throw InvalidInput(field, "MANIFEST_INVALID", field + " " + message);
}

// ---- reading

void Parse(const std::string& name, PositionResize& out) { out = ParsePositionResize(name); }
void Parse(const std::string& name, DistanceCombination& out) {
  out = ParseDistanceCombination(name);
}
void Parse(const std::string& name, EncoderKind& out) { out = ParseEncoderKind(name); }
void Parse(const std::string& name, Precision& out) { out = ParsePrecision(name); }

// Reads one JSON object into a struct. Each key is read by its name; Finish refuses keys that were
// not read. All errors are InvalidInput with the path of the key.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) Refuse(path_.empty() ? "the manifest" : path_, "must be an object");
  }

  std::string PathOf(const std::string& key) const {
    const bool plain =
        std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
    const std::string name = plain ? key : Quote(key);
    return path_.empty() ? name : path_ + "." + name;
  }

  const json& Take(const std::string& key) {
    taken_.insert(key);
    const auto found = object_.find(key);
    if (found == object_.end()) Refuse(PathOf(key), "is missing");
    return *found;
  }

  bool Has(const std::string& key) const { return object_.contains(key); }

  ObjectReader TakeObject(const std::string& key) { return ObjectReader(Take(key), PathOf(key)); }

  template <typename T>
  void Read(const std::string& key, T& out) {
    ReadValue(Take(key), PathOf(key), out);
  }

  // An optional key.
  template <typename T>
  void Read(const std::string& key, std::optional<T>& out) {
    if (Has(key)) Read(key, out.emplace());
  }

  // Reads the object as a map: calls `read` with each key, its value and the path of the value.
  template <typename Read>
  void ReadAll(const Read& read) {
    for (const auto& item : object_.items()) read(item.key(), item.value(), PathOf(item.key()));
  }

  void Finish() const {
    for (const auto& item : object_.items()) {
      if (!taken_.contains(item.key())) {
        Refuse(PathOf(item.key()), "is not a key that this program knows");
      }
    }
  }

  static void ReadValue(const json& value, const std::string& path, std::string& out) {
    if (!value.is_string()) Refuse(path, "must be a string");
    out = value.get<std::string>();
  }

  // An enum, by its name.
  template <typename Enum>
  requires std::is_enum_v<Enum>
  static void ReadValue(const json& value, const std::string& path, Enum& out) {
    std::string name;
    ReadValue(value, path, name);
    try {
      Parse(name, out);
    } catch (const InvalidInput& error) {
      Refuse(path, std::string("is not valid: ") + error.what());
    }
  }

  static void ReadValue(const json& value, const std::string& path, bool& out) {
    if (!value.is_boolean()) Refuse(path, "must be true or false");
    out = value.get<bool>();
  }

  template <std::integral T>
  static void ReadValue(const json& value, const std::string& path, T& out) {
    if (!value.is_number_integer()) Refuse(path, "must be a whole number");
    const bool fits = value.is_number_unsigned() ? std::in_range<T>(value.get<uint64_t>())
                                                 : std::in_range<T>(value.get<int64_t>());
    if (!fits) Refuse(path, "is out of range");
    out = value.get<T>();
  }

  template <std::floating_point T>
  static void ReadValue(const json& value, const std::string& path, T& out) {
    if (!value.is_number()) Refuse(path, "must be a number");
    const double number = value.get<double>();
    if (std::abs(number) > std::numeric_limits<T>::max()) Refuse(path, "is out of range");
    out = static_cast<T>(number);
  }

  template <typename T, size_t N>
  static void ReadValue(const json& value, const std::string& path, std::array<T, N>& out) {
    if (!value.is_array() || value.size() != N) {
      Refuse(path, "must be an array of " + std::to_string(N) + " numbers");
    }
    for (size_t i = 0; i < N; ++i) {
      ReadValue(value[i], path + "[" + std::to_string(i) + "]", out[i]);
    }
  }

  template <typename T>
  static void ReadValue(const json& value, const std::string& path, std::vector<T>& out) {
    if (!value.is_array()) Refuse(path, "must be an array");
    out.resize(value.size());
    for (size_t i = 0; i < out.size(); ++i) {
      ReadValue(value[i], path + "[" + std::to_string(i) + "]", out[i]);
    }
  }

 private:
  const json& object_;
  std::string path_;
  std::set<std::string> taken_;
};

LiteConfig ReadLiteConfig(ObjectReader reader) {
  LiteConfig lite;
  reader.Read("variant", lite.variant);
  reader.Read("stages", lite.stages);
  reader.Read("groups", lite.groups);
  reader.Read("patch", lite.patch);
  reader.Finish();
  return lite;
}

EncoderConfig ReadEncoderConfig(ObjectReader reader) {
  EncoderConfig encoder;
  if (reader.Has("kind")) reader.Read("kind", encoder.kind);
  reader.Read("width", encoder.width);
  reader.Read("heads", encoder.heads);
  reader.Read("blocks", encoder.blocks);
  reader.Read("patch", encoder.patch);
  reader.Read("registers", encoder.registers);
  reader.Read("position_grid", encoder.position_grid);
  reader.Read("taps", encoder.taps);
  reader.Read("position_resize", encoder.position_resize);
  if (TraitsOf(encoder.kind).has_stages) {
    encoder.lite = ReadLiteConfig(reader.TakeObject("lite"));
    reader.Read("group_levels", encoder.group_levels);
    reader.Read("group_centering", encoder.group_centering);
  }
  reader.Finish();
  return encoder;
}

DistanceConfig ReadDistance(ObjectReader reader) {
  DistanceConfig distance;
  reader.Read("combination", distance.combination);
  reader.Read("levels", distance.levels);
  reader.Finish();
  return distance;
}

ModelConfig ReadConfig(ObjectReader reader) {
  ModelConfig config;
  reader.Read("preset", config.preset);
  config.encoder = ReadEncoderConfig(reader.TakeObject("encoder"));
  reader.Read("decoder_layers", config.decoder_layers);
  reader.Read("groups", config.groups);
  reader.Read("input_height", config.input_height);
  reader.Read("input_width", config.input_width);
  if (reader.Has("distance")) config.distance = ReadDistance(reader.TakeObject("distance"));
  reader.Read("adaptive_noisy_bottleneck", config.adaptive_noisy_bottleneck);
  reader.Read("dynamic_decoder", config.dynamic_decoder);
  reader.Read("prototype_constraint", config.prototype_constraint);
  reader.Finish();
  return config;
}

Preprocessing ReadPreprocessing(ObjectReader reader) {
  Preprocessing preprocessing;
  reader.Read("resize_height", preprocessing.resize_height);
  reader.Read("resize_width", preprocessing.resize_width);
  reader.Read("crop_height", preprocessing.crop_height);
  reader.Read("crop_width", preprocessing.crop_width);
  reader.Read("mean", preprocessing.mean);
  reader.Read("std", preprocessing.std);
  reader.Finish();
  return preprocessing;
}

EncoderIdentity ReadEncoderIdentity(ObjectReader reader) {
  EncoderIdentity encoder;
  reader.Read("source", encoder.source);
  reader.Read("sha256", encoder.sha256);
  reader.Read("dialect", encoder.dialect);
  reader.Finish();
  return encoder;
}

Calibration ReadCalibration(ObjectReader reader) {
  Calibration calibration;
  reader.Read("threshold", calibration.threshold);
  reader.Read("false_reject_budget", calibration.false_reject_budget);
  reader.Read("images", calibration.images);
  reader.Finish();
  return calibration;
}

TrainingRecord ReadTraining(ObjectReader reader) {
  TrainingRecord training;
  ObjectReader recipe = reader.TakeObject("recipe");
  recipe.Read("name", training.recipe.name);
  VisitFields(training.recipe, [&](const char* key, auto& member) { recipe.Read(key, member); });
  recipe.Finish();
  reader.Read("steps", training.steps);
  reader.Read("images", training.images);
  reader.Read("init_from", training.init_from);
  reader.Finish();
  return training;
}

void ReadTables(ObjectReader& reader, Manifest& manifest) {
  if (reader.Has("calibration")) {
    manifest.calibration = ReadCalibration(reader.TakeObject("calibration"));
  }
  reader.TakeObject("categories")
      .ReadAll([&](const std::string& name, const json& value, const std::string& path) {
        manifest.categories[name] = ReadCalibration(ObjectReader(value, path));
      });
  reader.TakeObject("metrics").ReadAll(
      [&](const std::string& name, const json& value, const std::string& path) {
        ObjectReader::ReadValue(value, path, manifest.metrics[name]);
      });
  reader.TakeObject("files").ReadAll(
      [&](const std::string& name, const json& value, const std::string& path) {
        ObjectReader file(value, path);
        file.Read("sha256", manifest.files[name].sha256);
        file.Read("bytes", manifest.files[name].bytes);
        file.Finish();
      });
}

Manifest ReadFields(ObjectReader reader) {
  // First, because other formats may differ in every other key.
  int format = 0;
  reader.Read("format", format);
  if (format != kManifestFormat) {
    Refuse("format", "is " + std::to_string(format) + "; this program reads format " +
                         std::to_string(kManifestFormat));
  }
  Manifest manifest;
  reader.Read("name", manifest.name);
  reader.Read("version", manifest.version);
  reader.Read("created", manifest.created);
  reader.Read("code_version", manifest.code_version);
  manifest.config = ReadConfig(reader.TakeObject("config"));
  manifest.preprocessing = ReadPreprocessing(reader.TakeObject("preprocessing"));
  manifest.encoder = ReadEncoderIdentity(reader.TakeObject("encoder"));
  ObjectReader range = reader.TakeObject("map_range");
  range.Read("low", manifest.map_range.low);
  range.Read("high", manifest.map_range.high);
  range.Finish();
  ReadTables(reader, manifest);
  reader.Read("data_fingerprint", manifest.data_fingerprint);
  reader.Read("parent_job", manifest.parent_job);
  if (reader.Has("training")) manifest.training = ReadTraining(reader.TakeObject("training"));
  if (reader.Has("probe")) {
    ObjectReader probe = reader.TakeObject("probe");
    manifest.probe.emplace();
    probe.Read("file", manifest.probe->file);
    probe.Read("score", manifest.probe->score);
    probe.Finish();
  }
  reader.Finish();
  return manifest;
}

// ---- writing

// The double with the shortest decimal form of the float: 0.485f is written as 0.485.
double ToDouble(float value) {
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  double parsed = value;
  std::from_chars(text, end, parsed);
  return static_cast<float>(parsed) == value ? parsed : value;
}

template <size_t N>
json ToArray(const std::array<float, N>& values) {
  json array = json::array();
  for (const float value : values) array.push_back(ToDouble(value));
  return array;
}

using Ordered = nlohmann::ordered_json;  // keeps the keys in the order below

// Omits the kind of a vision transformer, so that older programs can read the manifest.
Ordered ToObject(const EncoderConfig& encoder) {
  Ordered object = Ordered::object();
  if (encoder.kind != EncoderKind::kVisionTransformer) object["kind"] = NameOf(encoder.kind);
  object.update({{"width", encoder.width},
                 {"heads", encoder.heads},
                 {"blocks", encoder.blocks},
                 {"patch", encoder.patch},
                 {"registers", encoder.registers},
                 {"position_grid", encoder.position_grid},
                 {"position_resize", NameOf(encoder.position_resize)},
                 {"taps", encoder.taps}});
  if (TraitsOf(encoder.kind).has_stages) {
    object["lite"] = {{"variant", encoder.lite.variant},
                      {"stages", encoder.lite.stages},
                      {"groups", encoder.lite.groups},
                      {"patch", encoder.lite.patch}};
    object["group_levels"] = encoder.group_levels;
    object["group_centering"] = encoder.group_centering;
  }
  return object;
}

// Omits the paper's distance, so that older programs can read the manifest.
Ordered ToObject(const ModelConfig& config) {
  Ordered object = {{"preset", config.preset},
                    {"encoder", ToObject(config.encoder)},
                    {"decoder_layers", config.decoder_layers},
                    {"groups", config.groups},
                    {"input_height", config.input_height},
                    {"input_width", config.input_width},
                    {"adaptive_noisy_bottleneck", config.adaptive_noisy_bottleneck},
                    {"dynamic_decoder", config.dynamic_decoder},
                    {"prototype_constraint", config.prototype_constraint}};
  if (config.distance != DistanceConfig{}) {
    object["distance"] = {{"combination", NameOf(config.distance.combination)},
                          {"levels", config.distance.levels}};
  }
  return object;
}

Ordered ToObject(const Preprocessing& preprocessing) {
  return {
      {"resize_height", preprocessing.resize_height}, {"resize_width", preprocessing.resize_width},
      {"crop_height", preprocessing.crop_height},     {"crop_width", preprocessing.crop_width},
      {"mean", ToArray(preprocessing.mean)},          {"std", ToArray(preprocessing.std)}};
}

Ordered ToObject(const Calibration& calibration) {
  return {{"threshold", calibration.threshold},
          {"false_reject_budget", calibration.false_reject_budget},
          {"images", calibration.images}};
}

void Write(Ordered& object, const char* key, Precision value) { object[key] = NameOf(value); }
void Write(Ordered& object, const char* key, PositionResize value) { object[key] = NameOf(value); }

template <typename T>
void Write(Ordered& object, const char* key, const T& value) {
  object[key] = value;
}

template <typename T>
void Write(Ordered& object, const char* key, const std::optional<T>& value) {
  if (value) Write(object, key, *value);
}

Ordered ToObject(const TrainingRecord& training) {
  Ordered recipe = {{"name", training.recipe.name}};
  VisitFields(training.recipe,
              [&](const char* key, const auto& member) { Write(recipe, key, member); });
  return {{"recipe", recipe},
          {"steps", training.steps},
          {"images", training.images},
          {"init_from", training.init_from}};
}

}  // namespace

Manifest ParseManifest(const std::string& text, const std::string& source) {
  try {
    Manifest manifest = ReadFields(ObjectReader(ParseStrictJson(text, source), ""));
    Validate(manifest);
    manifest.hash = Sha256Hex(text);
    return manifest;
  } catch (const InvalidInput& error) {
    throw CorruptFile(source, error.what());
  }
}

std::string ToJson(const Manifest& manifest) {
  Ordered object = {
      {"format", kManifestFormat},
      {"name", manifest.name},
      {"version", manifest.version},
      {"created", manifest.created},
      {"code_version", manifest.code_version},
      {"config", ToObject(manifest.config)},
      {"preprocessing", ToObject(manifest.preprocessing)},
      {"encoder",
       {{"source", manifest.encoder.source},
        {"sha256", manifest.encoder.sha256},
        {"dialect", manifest.encoder.dialect}}},
      {"map_range",
       {{"low", ToDouble(manifest.map_range.low)}, {"high", ToDouble(manifest.map_range.high)}}}};
  if (manifest.calibration) object["calibration"] = ToObject(*manifest.calibration);
  object["categories"] = Ordered::object();
  for (const auto& [name, calibration] : manifest.categories) {
    object["categories"][name] = ToObject(calibration);
  }
  object["metrics"] = Ordered::object();
  for (const auto& [name, value] : manifest.metrics) object["metrics"][name] = value;
  object["data_fingerprint"] = manifest.data_fingerprint;
  object["parent_job"] = manifest.parent_job;
  if (manifest.training) object["training"] = ToObject(*manifest.training);
  if (manifest.probe) {
    object["probe"] = {{"file", manifest.probe->file}, {"score", manifest.probe->score}};
  }
  object["files"] = Ordered::object();
  for (const auto& [name, digest] : manifest.files) {
    object["files"][name] = {{"sha256", digest.sha256}, {"bytes", digest.bytes}};
  }
  try {
    return object.dump(2) + "\n";
  } catch (const json::type_error&) {
    throw InvalidInput("manifest", "MANIFEST_INVALID", "a text of the manifest is not UTF-8");
  }
}

}  // namespace proad::model
