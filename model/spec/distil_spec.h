// What it takes to make a small encoder: a teacher, photographs, and how long to learn.
//
// No LibTorch. Plain values.
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
  int64_t batch_patches = 1568;  // the student's; as many views as give them, at least one
  double learning_rate = 2e-3;   // the highest
  double final_ratio = 0.01;     // of it, where the cosine ends
  double weight_decay = 0.05;
  double gradient_clip = 1;  // joint L2 norm of all gradients
  uint64_t seed = 1;
  Precision precision = Precision::kFp32;
  int groups = 2;  // of the student's taps
  // Sides of what the student sees, pixels, multiples of its patch: each batch has one of them,
  // each as likely as it is listed. An encoder is good at the sizes that it learned at.
  std::vector<int> sides = {196, 280, 392, 392};
  ViewOptions view;  // but for its side

  bool operator==(const DistilOptions&) const = default;
};

struct DistilSpec {
  std::vector<std::filesystem::path> photographs;  // folders
  std::filesystem::path teacher;
  std::string preset = "proad-tiny";  // whose encoder it is to be
  std::filesystem::path init_from;    // encoder to go on from; "": a fresh one
  std::string device = "auto";
  DistilOptions options;
};

}  // namespace proad::model
