// One version of a model, ready on its devices: the seam between serving and the mathematics.
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

// What the network says of one image.
struct Inference {
  double score = 0;
  std::vector<float> map;  // [map_side, map_side] row-major; empty when not asked for
};

// Thread-safety: Infer may be called by several workers at once, each with its own `worker` index.
class ServableModel {
 public:
  virtual ~ServableModel() = default;

  virtual const model::Manifest& manifest() const = 0;

  // What its probe scored when it was loaded; nullopt when it has none.
  virtual std::optional<double> probe_score() const { return std::nullopt; }

  // What its weights take on its device.
  virtual uint64_t memory_bytes() const { return 0; }

  // Rows and columns of a map.
  virtual int map_side() const = 0;

  // Runs one batch. `images` are not owned and match manifest().preprocessing; the answers stand in
  // their order. Maps are moved only for the images whose `want_map` is set (same length as
  // `images`). Fails as a whole: INTERNAL when the model raised, RESOURCE_EXHAUSTED when the device
  // is out of memory, UNAVAILABLE when the device is lost. The caller checks that what came out is
  // finite, image by image.
  virtual absl::StatusOr<std::vector<Inference>> Infer(
      absl::Span<const model::PreparedImage* const> images, absl::Span<const bool> want_map,
      int worker) = 0;
};

// Keeps a version alive; requests hold one from admission to answer, so a swap never touches them.
using ModelHandle = std::shared_ptr<ServableModel>;

// Makes a version of its directory, verified and warm, or says why not. May take seconds. Safe to
// call from any thread.
using ModelLoader =
    std::function<absl::StatusOr<ModelHandle>(const std::filesystem::path& directory)>;

}  // namespace proad::server
