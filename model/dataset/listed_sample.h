// One row of a list (CSV or JSON) that describes an image, and the checks that turn it into a
// Sample.
//
// No LibTorch. Pure functions; used by the layouts of lists.
#pragma once

#include <string>

#include "model/dataset/dataset.h"
#include "model/dataset/dataset_root.h"

namespace proad::model {

struct ListedSample {
  std::string where;  // list and line, for messages
  std::string image;
  std::string mask;  // "" for none
  std::string category;
  Split split = Split::kTrain;
  std::string defect;  // "" for a good image
  std::string label;   // as it is written in the list
};

// Throws InvalidInput (field "dataset") for a file that is missing or outside the dataset's folder,
// for a defective image in the split "train", and for a good image with a mask.
Sample MakeSample(const DatasetRoot& root, const ListedSample& listed);

// Returns "" if the label means good, and otherwise the kind of defect, without blanks around it.
// Throws InvalidInput (field "dataset") for an empty label and for one that may mean good or
// defective.
std::string ParseLabel(const std::string& label, const std::string& where);

// A name of the split "train" or "test"; throws InvalidInput (field "dataset") for other texts.
Split ParseSplit(const std::string& text, const std::string& where);

}  // namespace proad::model
