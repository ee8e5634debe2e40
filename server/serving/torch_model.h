// Versions that run in LibTorch, on the CPU or a GPU.
//
// No LibTorch here: servers see a ModelLoader only.
#pragma once

#include <string>

#include "server/serving/servable_model.h"

namespace proad::server {

struct TorchModelOptions {
  std::string device = "auto";  // "cpu", "cuda", "cuda:N"; "auto": cuda:0 where there is one
  int threads = 0;  // within one operation on the CPU; 0: one a core, shared by the workers
};

// "auto" and the like as the device that it means: "cpu" or "cuda:N". INVALID_ARGUMENT says which
// there are.
absl::StatusOr<std::string> ResolveTorchDevice(const std::string& device);

// A loader of checkpoint directories (model/checkpoint.h). A version is verified against its
// hashes, warmed up with batches of 1 and of `max_batch`, and refused when its probe does not score
// what it did when it was published. The loader fails with
//   DATA_LOSS            a file is missing or damaged; the message names it
//   FAILED_PRECONDITION  the probe's score differs; the message has both
//   RESOURCE_EXHAUSTED   the device's memory is full
//   INTERNAL             the model raised
// and may be called from any thread. Sets the process's number of LibTorch threads: make one
// loader.
ModelLoader MakeTorchModelLoader(const TorchModelOptions& options, int max_batch);

}  // namespace proad::server
