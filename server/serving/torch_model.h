// Versions that run in LibTorch, on the CPU or a GPU.
//
// This header includes no LibTorch: the server uses only the ModelLoader.
//
// Thread-safety: all functions may be called from any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/serving/memory_room.h"
#include "server/serving/servable_model.h"

namespace proad::server {

struct TorchModelOptions {
  std::string device = "auto";  // "cpu", "cuda", "cuda:N"; "auto": cuda:0 if present, else cpu
  int threads = 0;              // of a batch on the CPU; 0: its share of the cores (core_share.h)
};

// The device that the options select: "cpu" or "cuda:N". INVALID_ARGUMENT lists the present ones.
absl::StatusOr<std::string> ResolveTorchDevice(const TorchModelOptions& options);

// The places where versions on `device` (from ResolveTorchDevice) are allocated: the host, and the
// GPU if `device` is one.
std::vector<MemoryPlace> TorchMemory(const std::string& device);

// Returns a loader of checkpoint directories (model/network/checkpoint.h). It verifies a version
// against its hashes, warms it up (on a GPU also with a batch of `max_batch`), and scores its probe
// image. `device` is from ResolveTorchDevice. The loader may be called from any thread; its
// versions share the cores of the machine, so create one loader per process. It fails with
//   DATA_LOSS            a file is missing or damaged; the message names it
//   FAILED_PRECONDITION  PROBE_MISMATCH: the probe scores otherwise than when it was published
//   RESOURCE_EXHAUSTED   memory is full
//   INTERNAL             the network raised an exception
ModelLoader MakeTorchModelLoader(const TorchModelOptions& options, const std::string& device,
                                 int max_batch);

}  // namespace proad::server
