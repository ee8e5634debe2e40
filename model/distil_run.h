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
#include <string>
#include <vector>

#include "model/distil_spec.h"

namespace proad::model {

struct DistilProgress {
  int64_t step = 0;  // done
  int64_t steps = 0;
  double loss = 0;                  // mean over the last steps
  std::vector<double> unexplained;  // likewise, by group of taps
  double learning_rate = 0;
  double steps_per_second = 0;
};

struct DistilContext {
  std::filesystem::path directory;  // of checkpoints; made when absent
  std::filesystem::path output;     // encoder, safetensors in F16; the card is `output`.json
  std::string code_version;
  double checkpoint_seconds = 60;
};

// Returns false where `observe`, asked after every step, did: the run's state is then saved.
// Throws InvalidInput naming the option or file, NonFiniteLoss, CorruptFile, FileError.
bool Distil(const DistilSpec& spec, const DistilContext& context,
            const std::function<bool(const DistilProgress&)>& observe);

}  // namespace proad::model
