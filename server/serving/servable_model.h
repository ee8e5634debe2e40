// A version of a model that is ready to compute on its device: the interface between the server and
// the network.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/picture/preprocess.h"
#include "model/spec/manifest.h"

namespace proad::server {

// The output of the network for one image.
struct Inference {
  double score = 0;
  std::vector<float> map;  // [map_side, map_side] row-major; empty when it was not requested
};

// Thread-safety: all methods may be called from any thread. Concurrent calls of Infer pass
// different `worker` indices.
class ServableModel {
 public:
  virtual ~ServableModel() = default;

  virtual const model::Manifest& manifest() const = 0;

  // The score of the probe image when the version was loaded; nullopt: it has no probe.
  virtual std::optional<double> probe_score() const { return std::nullopt; }

  // Bytes of the weights on the device.
  virtual uint64_t memory_bytes() const { return 0; }

  // Rows of a map, which equal its columns.
  virtual int map_side() const = 0;

  // Runs one batch and returns one Inference for each image, in order. `images` are not owned and
  // match manifest().preprocessing. `want_map` has the length of `images`; maps are copied to the
  // host only where it is set. The caller checks that scores and maps are finite. The batch fails
  // as a whole:
  //   INTERNAL            the network raised an exception
  //   RESOURCE_EXHAUSTED  the device is out of memory
  //   UNAVAILABLE         the device is lost
  virtual absl::StatusOr<std::vector<Inference>> Infer(
      absl::Span<const model::PreparedImage* const> images, absl::Span<const bool> want_map,
      int worker) = 0;
};

// Keeps a version alive. A request holds one from admission to answer, so a swap does not affect
// it.
using ModelHandle = std::shared_ptr<ServableModel>;

// Loads a version from its directory, verifies it and warms it up. May take seconds. Safe to call
// from any thread.
using ModelLoader =
    std::function<absl::StatusOr<ModelHandle>(const std::filesystem::path& directory)>;

}  // namespace proad::server
