// How a network is trained: every number that the paper, or who runs a job, may choose.
//
// Recipes are YAML files in model/recipes/, compiled into the programs, so that a server needs no
// file beside it. No LibTorch. Plain values and pure functions; safe to call from any thread.
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
// Throws InvalidInput (field "overrides.precision") listing them.
Precision ParsePrecision(std::string_view name);

// Section 4.1 and model/README.md, "training".
struct Recipe {
  std::string name = "quick";

  // How long: passes over the training pictures, or steps; the other one is 0.
  int64_t epochs = 0;
  int64_t steps = 0;

  int64_t batch_size = 16;
  double learning_rate = 1e-3;  // the highest
  double final_ratio = 0.1;     // of it, where the cosine ends
  int64_t warmup_epochs = 0;    // passes, or ...
  int64_t warmup_steps = 0;     // ... steps over which the learning rate rises from 0
  double weight_decay = 1e-4;
  double gradient_clip = 0.1;  // joint L2 norm of all gradients
  double dropout = 0.2;        // of the noisy bottleneck
  double tau = 3;              // of the loss's factor (eq. 10)
  uint64_t seed = 1;
  std::optional<bool> principal_start;  // true: from the pictures (initial_weights.h)
  Precision precision = Precision::kFp32;

  // What replaces the preset's own; absent: it stays.
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

// Calls visit(key, member) for every member that a file holds: all but the name.
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

// Throws InvalidInput (field "recipe", RECIPE_UNKNOWN) listing the names.
Recipe FindRecipe(std::string_view name);

// Reads a recipe's YAML. Keys are the members' names; those that are left out keep the defaults
// above. Throws CorruptFile with the line for unknown keys, keys given twice and values of another
// type, and InvalidInput as Validate.
Recipe ParseRecipe(std::string_view yaml, std::string_view name, const std::string& source);

// Replaces one value, given as a recipe's file would have it; a length or a warm-up in steps takes
// the place of one in epochs, and the other way round. Throws InvalidInput (field
// "overrides.KEY") for an unknown key or a value of another type; Validate says what is out of
// range.
void Override(Recipe& recipe, std::string_view key, std::string_view value);

// Throws InvalidInput (reason OUT_OF_RANGE) naming the field, its value and what is allowed.
void Validate(const Recipe& recipe);

// The network and the preprocessing that `recipe` makes of a preset. The centre crop keeps the
// paper's 392 of 448, rounded to whole pixels. Throws InvalidInput naming the field, "preset" among
// them.
struct Network {
  ModelConfig config;
  Preprocessing preprocessing;
};
Network NetworkOf(std::string_view preset, const Recipe& recipe);

// Steps and warm-up steps of `images` training pictures in whole batches; an epoch drops what is
// left over. A warm-up takes half of the steps at most, so that a shortened run still learns.
// Throws InvalidInput (field "overrides.batch_size", TOO_FEW_IMAGES) when there are fewer than a
// batch.
struct Length {
  int64_t steps_per_epoch = 0;
  int64_t steps = 0;
  int64_t warmup_steps = 0;
  int64_t epochs = 0;  // begun, the last perhaps not ended
};
Length LengthOf(const Recipe& recipe, int64_t images);

}  // namespace proad::model
