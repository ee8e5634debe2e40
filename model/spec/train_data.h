// The pictures of a run: what it trains on, what it holds out, what it is measured on.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image.h"
#include "model/spec/train_spec.h"

namespace proad::model {

struct TrainData {
  Dataset dataset;                   // without what was left out
  std::vector<Sample> train;         // good, of the split kTrain
  std::vector<Sample> held_out;      // the rest of those, for thresholds
  std::vector<std::string> skipped;  // names of pictures that were left out as unreadable
  std::string fingerprint;           // of everything that the dataset holds
};

// How many of a category's good training pictures are held out: `share` of them, but at least one
// stays to be trained on, and where the share is not 0 at least three are held out, or a quarter of
// fewer than twelve, or one of two or three.
int64_t CountHeldOut(int64_t pictures, double share);

// Opens and checks the dataset, every file of it, and holds out the share of each category's good
// training pictures, picked by the seed.
//
// Throws InvalidInput (field "dataset"): UNREADABLE_IMAGE naming the pictures, unless they may be
// skipped; MASK_INVALID naming the masks; DATASET_MOVED unless spec.dataset is absolute with its
// links resolved, still; and what OpenDataset and CheckTrainable throw.
TrainData OpenTrainData(const TrainSpec& spec, const ImageLimits& limits);

// Whether there are good and defective pictures to measure on in some category.
bool CanEvaluate(const Dataset& dataset);

}  // namespace proad::model
