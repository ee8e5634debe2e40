// Measures a network on pictures, by the same road as serving takes: DecodeImage, Prepare, the
// frozen network.
//
// No LibTorch header is included here, so that programs may ask without seeing it. Functions are
// safe to call from any thread; the observer is called from the calling thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image.h"
#include "model/picture/preprocess.h"
#include "model/spec/evaluation.h"

namespace proad::model {

class FrozenProAd;

struct EvaluatorOptions {
  ImageLimits limits;
  // Pictures that cannot be read, or whose mask cannot, are left out and told through `skipped`;
  // otherwise they are errors that name the file.
  bool skip_unreadable = false;
  bool pixels = true;  // figures of pixels too, where there are masks
};

// Called after each picture with how many are done; returning false stops: Interrupted is thrown.
using EvaluationProgress = std::function<bool(int64_t done)>;

// Scores every sample of the split kTest, one picture at a time, category by category, so that the
// memory is that of the largest category's pixels (metrics.h); `dataset.samples` is sorted by
// category. A figure is absent where it cannot be had: of images without both kinds, of pixels
// without masks. A defective picture without a mask counts for the image's figures alone. Masks
// are brought to the map by MaskToMap.
//
// Throws InvalidInput (field "dataset": UNREADABLE_IMAGE, MASK_SIZE_MISMATCH; field "scores":
// SCORE_NOT_FINITE, of the score or the map) naming the picture, FileError, and Interrupted
// (train_run.h). `skipped` gets the names of the pictures that were left out.
Evaluation Evaluate(const FrozenProAd& model, const Preprocessing& preprocessing,
                    const Dataset& dataset, const EvaluatorOptions& options,
                    const EvaluationProgress& progress = {},
                    std::vector<std::string>* skipped = nullptr);

// Evaluate with the version in `directory` (checkpoint.h), on `device` as ResolveDevice gives it.
// Throws as LoadCheckpoint, too.
Evaluation EvaluateVersion(const std::filesystem::path& directory, const std::string& device,
                           const Dataset& dataset, const EvaluatorOptions& options,
                           const EvaluationProgress& progress = {},
                           std::vector<std::string>* skipped = nullptr);

// What one picture's map tells.
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
