// Opens the dataset of a training run and divides it into training, held-out and test images.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/mask_check.h"
#include "model/dataset/sample_checks.h"
#include "model/picture/image_limits.h"
#include "model/spec/train_spec.h"

namespace proad::model {

struct TrainData {
  Dataset dataset;                    // without the skipped images
  std::vector<Sample> train;          // good, of the split kTrain
  std::vector<Sample> held_out;       // the other good images of that split, for thresholds
  std::vector<std::string> skipped;   // names of unreadable images
  std::string fingerprint;            // of the whole dataset (dataset_report.h)
  std::string train_fingerprint;      // of the split kTrain
  std::vector<std::string> warnings;  // about masks, each a sentence with the names of some
};

// The number of held-out images of `images` good training images of a category: `share` of them. If
// the share is not 0, at least three are held out, or a quarter of fewer than twelve images, or one
// of two or three. At least one image is left for training.
int64_t CountHeldOut(int64_t images, double share);

// Opens the dataset, checks all of its files without decoding them, and holds out a share of the good training images of
// each category. The seed of the recipe selects them.
//
// Throws InvalidInput (field "dataset"): UNREADABLE_IMAGE that names the images, unless the spec
// skips them; MASK_INVALID that names the masks; DATASET_MOVED if spec.dataset is not absolute or
// contains a symbolic link by now; and as OpenDataset and CheckTrainable do.
TrainData OpenTrainData(const TrainSpec& spec, const ImageLimits& limits);

// The samples whose images the run would not decode before its first step: those of the split kTest
// and the held-out ones; with `all`, every sample.
std::vector<Sample> SamplesToDecode(const TrainData& data, bool all);

// Judges the decoded files of SamplesToDecode. Unreadable images are left out of `data` if the spec
// skips them. Findings about masks become warnings.
//
// Throws InvalidInput (field "dataset"): UNREADABLE_IMAGE and MASK_INVALID as OpenTrainData, and
// MASK_CONTRADICTS_LABEL if the spec has a gate on pixel or region metrics and a mask contradicts
// the label of its image.
void ApplyChecks(const TrainSpec& spec, const std::vector<Sample>& samples,
                 const std::vector<SampleCheck>& checks, TrainData& data);

// Whether some category has good and defective test images.
bool CanEvaluate(const Dataset& dataset);

}  // namespace proad::model
