// Compares a decoded mask with the label of its image, and finds masks that probably do not mean
// what they mark.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <vector>

#include "model/picture/mask.h"

namespace proad::model {

enum class MaskIssue {
  kEmpty,            // of a defective image: no pixel is marked
  kMarksGoodImage,   // of a good image: pixels are marked
  kWhiteBackground,  // most of it and nearly its whole border are marked, with a hole
  kNearlyFull,       // nearly all pixels are marked
  kOnlyAlpha,        // the shape is in the opacity, which is used
  kLossy,            // the compression changes values; half of the brightest value is the limit
};

// Whether the mask and the label of its image cannot both be right.
bool ContradictsLabel(MaskIssue issue);

// Whether figures over pixels are as the file says: the issue is only told.
bool IsNote(MaskIssue issue);

// A heading for masks with this issue, for example "masks that mark no pixel of a defective image".
const char* TitleOf(MaskIssue issue);

struct MaskFinding {
  std::string name;  // of the mask, below the dataset's root
  MaskIssue issue = MaskIssue::kEmpty;
  std::string problem;  // with the figures of this mask
};

// Finds the issues of a mask. `good`: the label of its image. `name` is copied to the findings.
std::vector<MaskFinding> CheckMask(const Mask& mask, bool good, const std::string& name);

}  // namespace proad::model
