// Versions that run in LibTorch, on the CPU or a GPU.
//
// No LibTorch in this header: the server sees a ModelLoader and nothing else.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/serving/memory_room.h"
#include "server/serving/servable_model.h"

namespace proad::server {

struct TorchModelOptions {
  std::string device = "auto";  // "cpu", "cuda", "cuda:N"; "auto": cuda:0 where there is one
  int threads = 0;  // of a batch on the CPU; 0: all cores, or its part of them (core_share.h)
};

// The device that the options mean: "cpu" or "cuda:N". INVALID_ARGUMENT says which there are.
absl::StatusOr<std::string> ResolveTorchDevice(const TorchModelOptions& options);

// Where versions on `device` (as ResolveTorchDevice gives it) take memory: the host, and a GPU.
std::vector<MemoryPlace> TorchMemory(const std::string& device);

// A loader of checkpoint directories (model/network/checkpoint.h). A version is verified against its
// hashes, warmed up, with batches of `max_batch` too where that allocates device memory, and
// refused when its probe does not score what it did when it was published. The loader fails with
//   DATA_LOSS            a file is missing or damaged; the message names it
//   FAILED_PRECONDITION  PROBE_MISMATCH: the probe's score differs; the message has both
//   RESOURCE_EXHAUSTED   memory is full
//   INTERNAL             the model raised
// and may be called from any thread. What it loads shares this machine's cores, so make one loader.
// `device` as ResolveTorchDevice gives it.
ModelLoader MakeTorchModelLoader(const TorchModelOptions& options, const std::string& device,
                                 int max_batch);

}  // namespace proad::server
