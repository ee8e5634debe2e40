// The request to inspect one image, and its result.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "absl/time/time.h"
#include "model/picture/frame.h"
#include "model/picture/heatmap.h"
#include "model/picture/preprocess.h"
#include "server/batching/inference_task.h"
#include "server/batching/output_budget.h"
#include "server/batching/verdict.h"
#include "server/serving/servable_model.h"

namespace proad::server {

// The pixel grid of heatmap and overlay.
enum class Grid {
  kModel,     // the model's own map, over the inspected area
  kOriginal,  // the pixels of the image
};

// Outputs besides score and verdict.
struct DetectOutputs {
  std::optional<model::HeatmapEncoding> heatmap;
  bool overlay = false;
  Grid grid = Grid::kModel;

  bool any() const { return heatmap.has_value() || overlay; }
};

// One image to inspect. Does not own the bytes of the image: they must stay valid until the answer.
struct DetectQuery {
  std::string model;     // "" for the default, "name" or "name@version"
  std::string category;  // "" for none
  // An encoded file, or raw pixels.
  std::variant<std::span<const uint8_t>, model::FrameView> image;
  DetectOutputs outputs;
  std::optional<double> threshold;               // replaces the calibrated one; finite, > 0
  absl::Time deadline = absl::InfiniteFuture();  // infinite: Detector::Options::default_deadline
  CancelFlag cancelled;
  bool counted = true;  // in the metrics of verdicts and scores

  int64_t image_bytes() const;
};

// Time spent in each stage.
struct StageTimes {
  absl::Duration queue;        // waiting for a preprocessing thread
  absl::Duration preprocess;   // decode and resize
  absl::Duration batch_wait;   // waiting for the batch to be cut and for a worker
  absl::Duration inference;    // the network, for the whole batch
  absl::Duration postprocess;  // heatmap and overlay
  int batch_size = 0;
};

// The image with the anomaly map drawn over it.
struct Overlay {
  int width = 0;
  int height = 0;
  std::string png;
};

// The result for one image.
struct Detection {
  ModelHandle model;  // the version that inspected the image
  double score = 0;   // finite
  Threshold threshold;
  Verdict verdict = Verdict::kUndecided;
  std::optional<model::EncodedHeatmap> heatmap;
  model::HeatmapEncoding heatmap_encoding = model::HeatmapEncoding::kFloat32;  // of `heatmap`
  std::optional<Overlay> overlay;
  OutputBudget::Reservation output;  // of heatmap and overlay: keep it until they are written
  model::Box inspected_area;         // in pixels of the image
  int width = 0;                     // of the image
  int height = 0;
  StageTimes times;
};

}  // namespace proad::server
