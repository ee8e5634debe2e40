#include "model/spec/recipe.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <sstream>
#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"
#include "model/spec/preset.h"
#include "model/spec/recipe_files.h"

namespace proad::model {
namespace {

constexpr int kPaperResize = 448;
constexpr int kPaperCrop = 392;

[[noreturn]] void Refuse(const std::string& field, const std::string& message) {
  throw InvalidInput(field, "OUT_OF_RANGE", field + " " + message);
}

template <typename T>
std::string Text(T value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

void CheckRange(const std::string& field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return;
  Refuse(field,
         "must be from " + Text(min) + " to " + Text(max) + ", and is " + std::to_string(value));
}

// The allowed values of a fraction or a rate.
struct Interval {
  const char* words;
  std::function<bool(double)> contains;
};

const Interval kRate = {"above 0 and at most 1", [](double x) { return x > 0 && x <= 1; }};
const Interval kShare = {"from 0 to 1", [](double x) { return x >= 0 && x <= 1; }};
const Interval kBelowOne = {"at least 0 and below 1", [](double x) { return x >= 0 && x < 1; }};

void CheckReal(const std::string& field, double value, const Interval& allowed) {
  if (std::isfinite(value) && allowed.contains(value)) return;
  Refuse(field, std::string("must be ") + allowed.words + ", and is " + Text(value));
}

// ---- YAML

void Parse(const YAML::Node& node, PositionResize& out) {
  out = ParsePositionResize(node.as<std::string>());
}

void Parse(const YAML::Node& node, Precision& out) { out = ParsePrecision(node.as<std::string>()); }

template <typename T>
void Parse(const YAML::Node& node, T& out) {
  out = node.as<T>();
}

template <typename T>
void Parse(const YAML::Node& node, std::optional<T>& out) {
  T value{};
  Parse(node, value);
  out = value;
}

// Reads `key` into the recipe; false if there is no such key.
bool SetField(const std::string& key, const YAML::Node& node, Recipe& recipe) {
  bool found = false;
  VisitFields(recipe, [&](const char* name, auto& member) {
    if (key != name) return;
    Parse(node, member);
    found = true;
  });
  return found;
}

[[noreturn]] void RefuseYaml(const std::string& source, const YAML::Mark& mark,
                             const std::string& message) {
  throw CorruptFile(source + ":" + std::to_string(mark.line + 1), message);
}

void ReadFields(const YAML::Node& fields, const std::string& source, Recipe& recipe) {
  if (!fields.IsMap()) RefuseYaml(source, fields.Mark(), "expected a map of keys and values");
  std::set<std::string> seen;
  for (const auto& field : fields) {
    const auto key = field.first.as<std::string>();
    if (!seen.insert(key).second) {
      RefuseYaml(source, field.first.Mark(), Quote(key) + " is given twice");
    }
    try {
      if (!SetField(key, field.second, recipe)) {
        RefuseYaml(source, field.first.Mark(), Quote(key) + " is not a key of a recipe");
      }
    } catch (const YAML::Exception& error) {
      RefuseYaml(source, field.second.Mark(), key + " has an invalid value: " + error.msg);
    } catch (const InvalidInput& error) {
      RefuseYaml(source, field.second.Mark(), error.what());
    }
  }
}

int CropResize(int side) {
  return static_cast<int>(std::lround(static_cast<double>(side) * kPaperResize / kPaperCrop));
}

}  // namespace

const char* NameOf(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
  }
  return "unknown";
}

Precision ParsePrecision(std::string_view name) {
  for (const Precision precision : {Precision::kFp32, Precision::kTf32, Precision::kBf16}) {
    if (name == NameOf(precision)) return precision;
  }
  throw InvalidInput("overrides.precision", "PRECISION_UNKNOWN",
                     "precision " + Quote(name) + " is unknown; known values are fp32, tf32, bf16");
}

const std::vector<std::string>& RecipeNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const RecipeFile& file : RecipeFiles()) result.push_back(file.name);
    return result;
  }();
  return names;
}

Recipe FindRecipe(std::string_view name) {
  std::string known;
  for (const RecipeFile& file : RecipeFiles()) {
    if (file.name == name) {
      return ParseRecipe(file.yaml, file.name, "model/recipes/" + file.name + ".yaml");
    }
    known += (known.empty() ? "" : ", ") + file.name;
  }
  throw InvalidInput("recipe", "RECIPE_UNKNOWN",
                     "recipe " + Quote(name) + " is unknown; known recipes are " + known);
}

Recipe ParseRecipe(std::string_view yaml, std::string_view name, const std::string& source) {
  Recipe recipe;
  recipe.name = name;
  try {
    ReadFields(YAML::Load(std::string(yaml)), source, recipe);
  } catch (const YAML::Exception& error) {
    RefuseYaml(source, error.mark, "not YAML: " + error.msg);
  }
  Validate(recipe);
  return recipe;
}

void Override(Recipe& recipe, std::string_view key, std::string_view value) {
  const std::string field = "overrides." + std::string(key);
  if (key == "epochs") recipe.steps = 0;
  if (key == "steps") recipe.epochs = 0;
  if (key == "warmup_epochs") recipe.warmup_steps = 0;
  if (key == "warmup_steps") recipe.warmup_epochs = 0;
  try {
    if (SetField(std::string(key), YAML::Load(std::string(value)), recipe)) return;
  } catch (const YAML::Exception& error) {
    throw InvalidInput(field, "VALUE_INVALID",
                       field + " cannot be " + Quote(value) + ": " + error.msg);
  }
  throw InvalidInput(field, "KEY_UNKNOWN", Quote(key) + " is not a key of a recipe");
}

void Validate(const Recipe& recipe) {
  constexpr int64_t kMaxEpochs = 100'000;
  constexpr int64_t kMaxSteps = 100'000'000;
  if ((recipe.epochs == 0) == (recipe.steps == 0)) {
    Refuse("overrides.epochs", "or steps must be set, but not both");
  }
  if (recipe.steps == 0) CheckRange("overrides.epochs", recipe.epochs, 1, kMaxEpochs);
  if (recipe.epochs == 0) CheckRange("overrides.steps", recipe.steps, 1, kMaxSteps);
  CheckRange("overrides.batch_size", recipe.batch_size, 1, 4096);
  CheckReal("overrides.learning_rate", recipe.learning_rate, kRate);
  CheckReal("overrides.final_ratio", recipe.final_ratio, kShare);
  CheckRange("overrides.warmup_epochs", recipe.warmup_epochs, 0, kMaxEpochs);
  CheckRange("overrides.warmup_steps", recipe.warmup_steps, 0, kMaxSteps);
  if (recipe.warmup_epochs > 0 && recipe.warmup_steps > 0) {
    Refuse("overrides.warmup_steps", "and warmup_epochs exclude each other");
  }
  CheckReal("overrides.weight_decay", recipe.weight_decay, kShare);
  CheckReal("overrides.gradient_clip", recipe.gradient_clip,
            {"above 0", [](double x) { return x > 0; }});
  CheckReal("overrides.dropout", recipe.dropout, kBelowOne);
  CheckReal("overrides.tau", recipe.tau,
            {"from 0 to 16", [](double x) { return x >= 0 && x <= 16; }});
  if (recipe.decoder_layers) CheckRange("overrides.decoder_layers", *recipe.decoder_layers, 1, 24);
  if (recipe.input_side) CheckRange("overrides.input_side", *recipe.input_side, 28, 1400);
}

Network NetworkOf(std::string_view preset, const Recipe& recipe) {
  Network network{PresetConfig(preset), PresetPreprocessing(preset)};
  ModelConfig& config = network.config;
  Preprocessing& preprocessing = network.preprocessing;
  const bool crop =
      recipe.center_crop.value_or(preprocessing.crop_height != preprocessing.resize_height);
  if (recipe.position_resize) config.encoder.position_resize = *recipe.position_resize;
  if (recipe.decoder_layers) config.decoder_layers = *recipe.decoder_layers;
  if (recipe.input_side) config.input_height = config.input_width = *recipe.input_side;
  config.adaptive_noisy_bottleneck = recipe.adaptive_noisy_bottleneck;
  config.dynamic_decoder = recipe.dynamic_decoder;
  config.prototype_constraint = recipe.prototype_constraint;

  if (config.input_height % config.encoder.patch != 0) {
    Refuse("overrides.input_side", "must be a multiple of the encoder's patch, " +
                                       std::to_string(config.encoder.patch) + ", and is " +
                                       std::to_string(config.input_height));
  }
  if (config.decoder_layers % config.groups != 0) {
    Refuse("overrides.decoder_layers", "must be a multiple of the number of groups, " +
                                           std::to_string(config.groups) + ", and is " +
                                           std::to_string(config.decoder_layers));
  }
  preprocessing.crop_height = config.input_height;
  preprocessing.crop_width = config.input_width;
  preprocessing.resize_height = crop ? CropResize(config.input_height) : config.input_height;
  preprocessing.resize_width = crop ? CropResize(config.input_width) : config.input_width;
  Validate(config, preprocessing);
  return network;
}

Length LengthOf(const Recipe& recipe, int64_t images) {
  Length length;
  length.steps_per_epoch = images / recipe.batch_size;
  if (length.steps_per_epoch == 0) {
    throw InvalidInput("overrides.batch_size", "TOO_FEW_IMAGES",
                       "overrides.batch_size is " + std::to_string(recipe.batch_size) +
                           ", but there are only " + std::to_string(images) +
                           " images to train on; use a smaller batch or more images");
  }
  length.steps = recipe.steps > 0 ? recipe.steps : recipe.epochs * length.steps_per_epoch;
  length.epochs = (length.steps + length.steps_per_epoch - 1) / length.steps_per_epoch;
  const int64_t warmup = recipe.warmup_epochs > 0 ? recipe.warmup_epochs * length.steps_per_epoch
                                                  : recipe.warmup_steps;
  length.warmup_steps = std::min(warmup, length.steps / 2);
  return length;
}

}  // namespace proad::model
