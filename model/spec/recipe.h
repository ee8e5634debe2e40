// Recipes: the hyperparameters of a training.
//
// Every YAML file in model/recipes/ is a recipe. The build compiles them into the programs, so that
// a server needs no other file. No LibTorch. Values and pure functions; safe to use from any
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/picture/preprocess.h"
#include "model/spec/config.h"

namespace proad::model {

// Arithmetic of training.
enum class Precision { kFp32, kTf32, kBf16 };

// "fp32", "tf32", "bf16".
const char* NameOf(Precision precision);
// Throws InvalidInput (field "overrides.precision") that lists the names.
Precision ParsePrecision(std::string_view name);

// Section 4.1 and model/README.md, "training".
struct Recipe {
  std::string name = "quick";

  // Length: passes over the training images, or steps; the other one is 0.
  int64_t epochs = 0;
  int64_t steps = 0;

  int64_t batch_size = 16;
  double learning_rate = 1e-3;  // the highest
  double final_ratio = 0.1;     // of it, at the end of the cosine
  int64_t warmup_epochs = 0;    // the learning rate rises from 0 over these passes, ...
  int64_t warmup_steps = 0;     // ... or over these steps
  double weight_decay = 1e-4;
  double gradient_clip = 0.1;  // joint L2 norm of all gradients
  double dropout = 0.2;        // of the noisy bottleneck
  double tau = 3;              // of the loss factor (eq. 10)
  uint64_t seed = 1;
  std::optional<bool> principal_start;  // true: initial weights from the images (initial_weights.h)
  Precision precision = Precision::kFp32;

  // Replace the values of the preset; absent: the preset's value.
  std::optional<PositionResize> position_resize;
  std::optional<bool> center_crop;
  std::optional<int> decoder_layers;
  std::optional<int> input_side;  // pixels

  // The switches of the paper's Table 5.
  bool adaptive_noisy_bottleneck = true;
  bool dynamic_decoder = true;
  bool prototype_constraint = true;

  bool operator==(const Recipe&) const = default;
};

// Calls visit(key, member) for every member except the name.
template <typename AnyRecipe, typename Visit>
void VisitFields(AnyRecipe& recipe, Visit&& visit) {
  visit("epochs", recipe.epochs);
  visit("steps", recipe.steps);
  visit("batch_size", recipe.batch_size);
  visit("learning_rate", recipe.learning_rate);
  visit("final_ratio", recipe.final_ratio);
  visit("warmup_epochs", recipe.warmup_epochs);
  visit("warmup_steps", recipe.warmup_steps);
  visit("weight_decay", recipe.weight_decay);
  visit("gradient_clip", recipe.gradient_clip);
  visit("dropout", recipe.dropout);
  visit("tau", recipe.tau);
  visit("seed", recipe.seed);
  visit("principal_start", recipe.principal_start);
  visit("precision", recipe.precision);
  visit("position_resize", recipe.position_resize);
  visit("center_crop", recipe.center_crop);
  visit("decoder_layers", recipe.decoder_layers);
  visit("input_side", recipe.input_side);
  visit("adaptive_noisy_bottleneck", recipe.adaptive_noisy_bottleneck);
  visit("dynamic_decoder", recipe.dynamic_decoder);
  visit("prototype_constraint", recipe.prototype_constraint);
}

// Sorted.
const std::vector<std::string>& RecipeNames();

// Throws InvalidInput (field "recipe", RECIPE_UNKNOWN) that lists the names.
Recipe FindRecipe(std::string_view name);

// Parses the YAML of a recipe. Keys are the names of the members; omitted keys keep the defaults
// above. Throws CorruptFile with the line of an unknown key, a repeated key or a value of another
// type, and InvalidInput as Validate does.
Recipe ParseRecipe(std::string_view yaml, std::string_view name, const std::string& source);

// Replaces one value, written as in a recipe's file. A length or a warm-up in steps replaces one in
// epochs, and vice versa. Throws InvalidInput (field "overrides.KEY") for an unknown key or a value
// of another type; Validate checks the range.
void Override(Recipe& recipe, std::string_view key, std::string_view value);

// Throws InvalidInput (reason OUT_OF_RANGE) with the field, its value and the allowed values.
void Validate(const Recipe& recipe);

// The network and the preprocessing of a preset with the values of `recipe`. The centre crop keeps
// the paper's ratio of 392 to 448, rounded to whole pixels. Throws InvalidInput that names the
// field, which may be "preset".
struct Network {
  ModelConfig config;
  Preprocessing preprocessing;
};
Network NetworkOf(std::string_view preset, const Recipe& recipe);

// The steps of a training on `images` images. An epoch drops the images that do not fill a batch.
// The warm-up takes at most half of the steps, so that a shortened run still learns. Throws
// InvalidInput (field "overrides.batch_size", TOO_FEW_IMAGES) if there are fewer images than in a
// batch.
struct Length {
  int64_t steps_per_epoch = 0;
  int64_t steps = 0;
  int64_t warmup_steps = 0;
  int64_t epochs = 0;  // started; the last may be incomplete
};
Length LengthOf(const Recipe& recipe, int64_t images);

}  // namespace proad::model
