// Measures a network on images, with the same functions as serving: DecodeImage, Prepare,
// FrozenProAd.
//
// This header includes no LibTorch header, so programs can include it. Functions are safe to call
// from any thread; they call `progress` on the calling thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image_limits.h"
#include "model/picture/preprocess.h"
#include "model/spec/evaluation.h"

namespace proad::model {

class FrozenProAd;

struct EvaluatorOptions {
  ImageLimits limits;
  // true: images with an unreadable file or mask are left out and listed in `skipped`; false: they
  // are errors that name the file.
  bool skip_unreadable = false;
  bool pixels = true;  // also pixel metrics, if there are masks
};

// Called after each image with the number of images done. If it returns false, Interrupted is
// thrown.
using EvaluationProgress = std::function<bool(int64_t done)>;

// Scores every sample of the split kTest, one image at a time, category by category;
// `dataset.samples` must be sorted by category. The memory is that of the largest category's pixels
// (metrics.h). A metric is absent if it is undefined: image metrics without both good and defective
// images, pixel metrics without masks. A defective image without a mask counts for image metrics
// alone. MaskToMap resizes masks to the map.
//
// Throws InvalidInput (field "dataset": UNREADABLE_IMAGE, MASK_SIZE_MISMATCH; field "scores":
// SCORE_NOT_FINITE, of the score or the map) that names the image, FileError, and Interrupted
// (train_run.h). `skipped` receives the names of the images that were left out.
Evaluation Evaluate(const FrozenProAd& model, const Preprocessing& preprocessing,
                    const Dataset& dataset, const EvaluatorOptions& options,
                    const EvaluationProgress& progress = {},
                    std::vector<std::string>* skipped = nullptr);

// Evaluate with the version in `directory` (checkpoint.h), on `device` as returned by
// ResolveDevice. Also throws as LoadCheckpoint.
Evaluation EvaluateVersion(const std::filesystem::path& directory, const std::string& device,
                           const Dataset& dataset, const EvaluatorOptions& options,
                           const EvaluationProgress& progress = {},
                           std::vector<std::string>* skipped = nullptr);

// Statistics of one image's map.
struct MapFigures {
  double score = 0;    // of the image
  double median = 0;   // of the map's pixels; the upper one
  double maximum = 0;  // of the map's pixels
};

// Of `samples`, whatever their split, in their order. Throws as Evaluate without skip_unreadable.
std::vector<MapFigures> ScoreSamples(const FrozenProAd& model, const Preprocessing& preprocessing,
                                     const std::vector<Sample>& samples, const ImageLimits& limits,
                                     const EvaluationProgress& progress = {});

}  // namespace proad::model
