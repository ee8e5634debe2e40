// The specification of a distillation: teacher, photographs and options.
//
// No LibTorch. Values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/picture/random_view.h"
#include "model/spec/recipe.h"

namespace proad::model {

struct DistilOptions {
  int64_t steps = 12000;
  int64_t warmup_steps = 100;
  int64_t batch_patches =
      1568;  // of the student; the batch has as many views as needed, at least one
  double learning_rate = 2e-3;  // the highest
  double final_ratio = 0.01;    // of it, at the end of the cosine
  double weight_decay = 0.05;
  double gradient_clip = 1;  // joint L2 norm of all gradients
  uint64_t seed = 1;
  Precision precision = Precision::kFp32;
  int groups = 2;  // of the student's taps
  // Sides of the views in pixels, multiples of the student's patch. Each batch uses one of these
  // entries at random. An encoder is good at the sizes that it was trained with.
  std::vector<int> sides = {196, 280, 392, 392};
  ViewOptions view;  // the side is set for each batch

  bool operator==(const DistilOptions&) const = default;
};

struct DistilSpec {
  std::vector<std::filesystem::path> photographs;  // folders
  std::filesystem::path teacher;
  std::string preset = "proad-tiny";  // of the encoder to train
  std::filesystem::path init_from;    // encoder to continue from; "": a fresh one
  std::string device = "auto";
  DistilOptions options;
};

}  // namespace proad::model
