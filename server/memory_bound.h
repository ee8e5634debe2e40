// A bound of the resident memory of proad-server, computed from its configuration.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "server/config.h"

namespace proad::server {

// The models of a store, as far as they decide how much memory they take.
struct StoredModels {
  int64_t names = 0;
  uint64_t largest_version = 0;  // bytes of its files
};

// Reads the sizes of the files of a store; what cannot be read counts as 0.
StoredModels MeasureStore(const std::filesystem::path& store);

struct MemoryBound {
  struct Part {
    std::string name;
    uint64_t bytes = 0;
  };
  std::vector<Part> parts;

  uint64_t total() const;
};

// The sum of
//   program    512 MiB: LibTorch and the other libraries, threads, caches, the allocator's reserve
//   models     for each name two versions of twice their files' size, and three times the largest
//              version while one is loaded. On a GPU only the latter
//   gRPC       1.5 server.max_memory
//   images     admission.max_bytes
//   answers    2 admission.max_output_bytes: gRPC holds a serialized copy of an answer that it
//              writes
//   prepared   admission.max_images times 1.5 MiB: the input of the network and its anomaly map,
//              up to 448 x 448
//   pixels     preprocessing.max_bytes, or Detector::MaxPixelBytes if that is more
//   batches    batching.workers times batching.max_batch times 64 MiB of activations; none on a GPU
// Training jobs are processes of their own and not included. Pure.
MemoryBound ComputeMemoryBound(const ResolvedConfig& config, const StoredModels& models);

}  // namespace proad::server
