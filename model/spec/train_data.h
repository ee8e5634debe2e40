// Opens the dataset of a training run and divides it into training, held-out and test images.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image_limits.h"
#include "model/spec/train_spec.h"

namespace proad::model {

struct TrainData {
  Dataset dataset;                   // without the skipped images
  std::vector<Sample> train;         // good, of the split kTrain
  std::vector<Sample> held_out;      // the other good images of that split, for thresholds
  std::vector<std::string> skipped;  // names of unreadable images
  std::string fingerprint;           // of the whole dataset (dataset_report.h)
};

// The number of held-out images of `images` good training images of a category: `share` of them. If
// the share is not 0, at least three are held out, or a quarter of fewer than twelve images, or one
// of two or three. At least one image is left for training.
int64_t CountHeldOut(int64_t images, double share);

// Opens the dataset, checks all of its files, and holds out a share of the good training images of
// each category. The seed of the recipe selects them.
//
// Throws InvalidInput (field "dataset"): UNREADABLE_IMAGE that names the images, unless the spec
// skips them; MASK_INVALID that names the masks; DATASET_MOVED if spec.dataset is not absolute or
// contains a symbolic link by now; and as OpenDataset and CheckTrainable do.
TrainData OpenTrainData(const TrainSpec& spec, const ImageLimits& limits);

// Whether some category has good and defective test images.
bool CanEvaluate(const Dataset& dataset);

}  // namespace proad::model
