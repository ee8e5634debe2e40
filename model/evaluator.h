// Measures a network on pictures, by the same road as serving takes: DecodeFile, Prepare, the
// frozen network.
//
// Functions are safe to call from any thread; the observer is called from the calling thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "model/dataset.h"
#include "model/evaluation.h"
#include "model/frozen_pro_ad.h"
#include "model/image.h"
#include "model/preprocess.h"

namespace proad::model {

struct EvaluatorOptions {
  ImageLimits limits;
  // Pictures left out, and told through `skipped`, when they cannot be read; otherwise they are
  // errors that name them.
  bool skip_unreadable = false;
  bool pixels = true;  // figures of pixels too, where there are masks
};

// Called after each picture with how many are done; returning false stops: Interrupted is thrown.
using EvaluationProgress = std::function<bool(int64_t done)>;

// Scores every sample of the split kTest, one picture at a time, category by category, so that the
// memory is that of the largest category's pixels (metrics.h). A defective picture without a mask
// counts for the image's figures alone. Masks are brought to the map by nearest pixel and binarised
// at > 0. Throws InvalidInput or FileError naming the picture, and InvalidInput (field "scores",
// SCORE_NOT_FINITE) naming it when its score or map is not finite.
Evaluation Evaluate(const FrozenProAd& model, const Preprocessing& preprocessing,
                    const Dataset& dataset, const EvaluatorOptions& options,
                    const EvaluationProgress& progress = {},
                    std::vector<std::string>* skipped = nullptr);

// What one picture's map tells.
struct MapFigures {
  double score = 0;    // of the image
  double median = 0;   // of the map's pixels
  double maximum = 0;  // of the map's pixels
};

// Of `samples`, whatever their split, in their order. Throws as Evaluate without skip_unreadable.
std::vector<MapFigures> ScoreSamples(const FrozenProAd& model, const Preprocessing& preprocessing,
                                     const std::vector<Sample>& samples, const ImageLimits& limits,
                                     const EvaluationProgress& progress = {});

}  // namespace proad::model
