// Making an encoder, from folders of photographs and a teacher to a file with its card.
//
// A run works in a directory of its own and can be stopped or killed at any instant: run again with
// the same specification it goes on from its last checkpoint and writes the same encoder.
//
// No LibTorch in this header. One run a directory at a time; the caller sees to it. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "model/spec/distil_spec.h"

namespace proad::model {

struct DistilProgress {
  int64_t step = 0;  // done
  int64_t steps = 0;
  double loss = 0;                  // mean over the last steps
  std::vector<double> unexplained;  // likewise, by group of taps
  double learning_rate = 0;
  double steps_per_second = 0;
};

struct DistilResult {
  // By group of taps, what share of the teacher's variance the student misses in views that it
  // never learned from.
  std::vector<double> unexplained;
  std::vector<std::string> skipped;  // pictures that could not be used, with the reason
};

struct DistilContext {
  std::filesystem::path directory;  // of checkpoints; made when absent
  std::filesystem::path output;     // encoder, safetensors in F16; the card is `output`.json
  std::string code_version;
  double checkpoint_seconds = 60;
};

// Absent where `observe`, asked after every step, returned false: the run's state is then saved.
// Throws InvalidInput naming the option or file (RUN_CHANGED where the directory holds a run of
// another specification), NonFiniteLoss, CorruptFile, FileError.
std::optional<DistilResult> Distil(const DistilSpec& spec, const DistilContext& context,
                                   const std::function<bool(const DistilProgress&)>& observe);

}  // namespace proad::model
