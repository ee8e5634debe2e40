// Distillation: trains an encoder on folders of photographs and a teacher, and writes its file and
// card.
//
// A run has its own directory and can be stopped or killed at any instant. The next run with the
// same specification continues from the last checkpoint and writes the same encoder.
//
// This header includes no LibTorch header. Thread-safety: one run per directory at a time, which
// the caller ensures; a run belongs to one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/picture/image_limits.h"
#include "model/spec/distil_spec.h"

namespace proad::model {

struct DistilProgress {
  int64_t step = 0;  // number of steps done
  int64_t steps = 0;
  double loss = 0;                  // running mean
  std::vector<double> unexplained;  // running means by group of taps, as in DistilResult
  double learning_rate = 0;
  double steps_per_second = 0;
};

struct DistilResult {
  // By group of taps: the share of the teacher's variance that the student does not explain, in
  // views that it did not train on.
  std::vector<double> unexplained;
  std::vector<std::string> skipped;  // photographs that could not be used, with the reason
};

struct DistilContext {
  std::filesystem::path directory;  // of checkpoints; created if absent
  std::filesystem::path output;     // the encoder, safetensors in F16; its card is `output`.json
  std::string code_version;
  double checkpoint_seconds = 60;
  ImageLimits limits;  // of photographs
};

// Calls `observe` after every step. If it returns false, saves the state and returns nullopt.
// Throws InvalidInput that names the option or file (RUN_CHANGED if the directory has a run of
// another specification), NonFiniteLoss, CorruptFile, FileError.
std::optional<DistilResult> Distil(const DistilSpec& spec, const DistilContext& context,
                                   const std::function<bool(const DistilProgress&)>& observe);

}  // namespace proad::model
