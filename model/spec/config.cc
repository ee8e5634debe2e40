#include "model/spec/config.h"

#include <cmath>
#include <cstddef>
#include <numeric>

#include "model/files/error.h"
#include "model/files/text.h"
#include "model/spec/efficientnet_lite_layout.h"

namespace proad::model {
namespace {

constexpr double kMaxLevel = 1000;

[[noreturn]] void Refuse(const std::string& option, const std::string& message) {
  throw InvalidInput(option, "CONFIG_INVALID", option + " " + message);
}

void CheckRange(const std::string& option, int value, int low, int high) {
  if (value < low || value > high) {
    Refuse(option, "is " + std::to_string(value) + "; it must be " + std::to_string(low) + " to " +
                       std::to_string(high));
  }
}

void CheckDivides(const std::string& option, int value, const std::string& of, int divisor) {
  if (value % divisor != 0) {
    Refuse(option, "is " + std::to_string(value) + "; it must be a multiple of " + of + ", " +
                       std::to_string(divisor));
  }
}

// Of a kind with stages. The pixels of one patch bound the memory for an image.
void ValidateStages(const EncoderConfig& encoder) {
  const LiteConfig& lite = encoder.lite;
  CheckRange("encoder.lite.variant", lite.variant, 0, kLiteVariants - 1);
  CheckRange("encoder.lite.patch", lite.patch, 1, 64);
  CheckRange("encoder.lite.groups", lite.groups, 1, kLiteStages);
  if (lite.stages.empty()) {
    Refuse("encoder.lite.stages", "is empty; at least one stage's output must be used");
  }
  for (size_t i = 0; i < lite.stages.size(); ++i) {
    CheckRange("encoder.lite.stages[" + std::to_string(i) + "]", lite.stages[i],
               i == 0 ? 0 : lite.stages[i - 1] + 1, kLiteStages - 1);
  }
  const int stages = static_cast<int>(lite.stages.size());
  if (stages % lite.groups != 0) {
    Refuse("encoder.lite.groups", "is " + std::to_string(lite.groups) +
                                      "; it must divide the number of stages, " +
                                      std::to_string(stages));
  }
  const bool combined = TraitsOf(encoder.kind).has_blocks;
  const int taps = static_cast<int>(encoder.taps.size());
  const int of_transformer = encoder.transformer_groups();
  const bool fits =
      combined ? of_transformer > 0 && taps % of_transformer == 0 : of_transformer == 0;
  if (!fits) {
    Refuse("encoder.group_levels",
           "has " + std::to_string(encoder.outputs()) + " values; it must have one for each of " +
               std::to_string(lite.groups) + " groups of stages" +
               (combined ? ", and before them one for each group of taps, whose number divides " +
                               std::to_string(taps)
                         : ""));
  }
  if (encoder.group_centering.size() != encoder.group_levels.size()) {
    Refuse("encoder.group_centering", "must have as many values as encoder.group_levels");
  }
  for (size_t g = 0; g < encoder.group_levels.size(); ++g) {
    const double level = encoder.group_levels[g], centering = encoder.group_centering[g];
    if (!(level > 0 && level <= kMaxLevel)) {
      Refuse("encoder.group_levels[" + std::to_string(g) + "]",
             "must be above 0 and at most " + std::to_string(static_cast<int>(kMaxLevel)));
    }
    if (!(centering >= 0 && centering <= 1)) {
      Refuse("encoder.group_centering[" + std::to_string(g) + "]", "must be 0 to 1");
    }
  }
}

void Validate(const EncoderConfig& encoder) {
  // The bounds are far above any published vision transformer. They keep products within 64 bits
  // and limit the memory that a damaged manifest can ask for.
  CheckRange("encoder.width", encoder.width, 1, 8192);
  CheckRange("encoder.heads", encoder.heads, 1, 128);
  CheckDivides("encoder.width", encoder.width, "encoder.heads", encoder.heads);
  CheckRange("encoder.blocks", encoder.blocks, 1, 256);
  CheckRange("encoder.patch", encoder.patch, 1, 128);
  CheckRange("encoder.registers", encoder.registers, 0, 64);
  CheckRange("encoder.position_grid", encoder.position_grid, 1, 512);
  if (encoder.taps.empty()) {
    Refuse("encoder.taps", "is empty; at least one block's output must be used");
  }
  for (size_t i = 0; i < encoder.taps.size(); ++i) {
    const std::string option = "encoder.taps[" + std::to_string(i) + "]";
    CheckRange(option, encoder.taps[i], 0, encoder.blocks - 1);
    if (i > 0 && encoder.taps[i] <= encoder.taps[i - 1]) {
      Refuse(option, "is " + std::to_string(encoder.taps[i]) +
                         "; taps must ascend, and the one before is " +
                         std::to_string(encoder.taps[i - 1]));
    }
  }
  const EncoderKindTraits& kind = TraitsOf(encoder.kind);
  if (!kind.has_blocks && encoder.taps != std::vector<int>{0}) {
    Refuse("encoder.taps", std::string("must be [0] for a ") + kind.words + ", which has one tap");
  }
  if (kind.has_stages) {
    ValidateStages(encoder);
  } else if (!encoder.group_levels.empty() || !encoder.lite.stages.empty()) {
    Refuse("encoder.lite", std::string("has no meaning for a ") + kind.words);
  }
  if (encoder.blocks != encoder.taps.back() + 1) {
    Refuse("encoder.blocks", "is " + std::to_string(encoder.blocks) +
                                 "; it must be the last tap + 1, " +
                                 std::to_string(encoder.taps.back() + 1) +
                                 "; blocks after the last tap are never run");
  }
}

void Validate(const DistanceConfig& distance, int groups) {
  if (distance.levels.empty()) return;
  if (distance.combination == DistanceCombination::kMean) {
    Refuse("distance.levels", "have no meaning for the combination \"mean\"");
  }
  if (static_cast<int>(distance.levels.size()) != groups) {
    Refuse("distance.levels", "has " + std::to_string(distance.levels.size()) +
                                  " values; it must have one for each of the groups, " +
                                  std::to_string(groups));
  }
  for (size_t g = 0; g < distance.levels.size(); ++g) {
    if (!(distance.levels[g] > 0 && distance.levels[g] <= 2)) {
      Refuse("distance.levels[" + std::to_string(g) + "]", "must be above 0 and at most 2");
    }
  }
}

void CheckCrop(const std::string& side, int resize, int crop, int input) {
  const std::string option = "preprocessing.crop_" + side;
  CheckRange("preprocessing.resize_" + side, resize, 1, 16384);
  if (crop != input) {
    Refuse(option, "is " + std::to_string(crop) + "; it must be config.input_" + side + ", " +
                       std::to_string(input));
  }
  if (crop > resize) {
    Refuse(option, "is " + std::to_string(crop) + "; it must be at most preprocessing.resize_" +
                       side + ", " + std::to_string(resize));
  }
}

}  // namespace

void Validate(const ModelConfig& config) {
  Validate(config.encoder);
  const int outputs = config.encoder.outputs();
  const bool has_stages = TraitsOf(config.encoder.kind).has_stages;
  CheckRange("decoder_layers", config.decoder_layers, 1, 256);
  CheckRange("groups", config.groups, 1, 256);
  if (has_stages && config.groups != outputs) {
    Refuse("groups", "is " + std::to_string(config.groups) +
                         "; it must be the number of encoder.group_levels, " +
                         std::to_string(outputs));
  }
  if (outputs % config.groups != 0 || config.decoder_layers % config.groups != 0) {
    Refuse("groups", "is " + std::to_string(config.groups) + "; it must divide the number of " +
                         (has_stages ? "the encoder's groups, " : "taps, ") +
                         std::to_string(outputs) + ", and decoder_layers, " +
                         std::to_string(config.decoder_layers) + ": at most " +
                         std::to_string(std::gcd(outputs, config.decoder_layers)));
  }
  Validate(config.distance, config.groups);
  const int min_grid = TraitsOf(config.encoder.kind).min_grid;
  const int least = min_grid > 1 ? min_grid * config.encoder.patch : 1;
  CheckRange("input_height", config.input_height, least, 8192);
  CheckRange("input_width", config.input_width, least, 8192);
  CheckDivides("input_height", config.input_height, "encoder.patch", config.encoder.patch);
  CheckDivides("input_width", config.input_width, "encoder.patch", config.encoder.patch);
}

void Validate(const ModelConfig& config, const Preprocessing& preprocessing) {
  Validate(config);
  CheckCrop("height", preprocessing.resize_height, preprocessing.crop_height, config.input_height);
  CheckCrop("width", preprocessing.resize_width, preprocessing.crop_width, config.input_width);
  for (size_t i = 0; i < preprocessing.mean.size(); ++i) {
    const std::string index = "[" + std::to_string(i) + "]";
    if (!std::isfinite(preprocessing.mean[i])) {
      Refuse("preprocessing.mean" + index, "is not a finite number");
    }
    if (!(std::isfinite(preprocessing.std[i]) && preprocessing.std[i] > 0)) {
      Refuse("preprocessing.std" + index, "must be a finite number above 0");
    }
  }
}

bool ModelConfig::SameNetwork(const ModelConfig& other) const {
  ModelConfig with_own_levels = other;
  with_own_levels.distance.levels = distance.levels;
  return *this == with_own_levels;
}

const char* NameOf(DistanceCombination combination) {
  return combination == DistanceCombination::kMean ? "mean" : "largest";
}

DistanceCombination ParseDistanceCombination(std::string_view name) {
  for (const auto how : {DistanceCombination::kMean, DistanceCombination::kLargest}) {
    if (name == NameOf(how)) return how;
  }
  throw InvalidInput("combination", "DISTANCE_COMBINATION_UNKNOWN",
                     "combination " + Quote(name) + " is unknown; known values are mean, largest");
}

const char* NameOf(PositionResize resize) {
  return resize == PositionResize::kOfficial ? "official" : "lineage";
}

PositionResize ParsePositionResize(std::string_view name) {
  for (const PositionResize how : {PositionResize::kOfficial, PositionResize::kLineage}) {
    if (name == NameOf(how)) return how;
  }
  throw InvalidInput(
      "position_resize", "POSITION_RESIZE_UNKNOWN",
      "position_resize " + Quote(name) + " is unknown; known values are official, lineage");
}

}  // namespace proad::model
