#include "model/dataset/mask_check.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "model/picture/mask_samples.h"

namespace proad::model {
namespace {

constexpr uint8_t kMarked = 255;

// The share of the pixels of the first and last row and column that are marked.
double MarkedBorder(const Mask& mask) {
  int64_t marked = 0;
  int64_t all = 0;
  const auto count = [&](int x, int y) {
    ++all;
    if (mask.pixels[size_t(mask.width) * y + x] == kMarked) ++marked;
  };
  for (int x = 0; x < mask.width; ++x) {
    count(x, 0);
    count(x, mask.height - 1);
  }
  for (int y = 0; y < mask.height; ++y) {
    count(0, y);
    count(mask.width - 1, y);
  }
  return static_cast<double>(marked) / static_cast<double>(all);
}

std::string Percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

}  // namespace

bool ContradictsLabel(MaskIssue issue) {
  return issue == MaskIssue::kEmpty || issue == MaskIssue::kMarksGoodImage;
}

bool IsNote(MaskIssue issue) {
  return issue == MaskIssue::kOnlyAlpha || issue == MaskIssue::kLossy;
}

const char* TitleOf(MaskIssue issue) {
  switch (issue) {
    case MaskIssue::kEmpty:
      return "masks that mark no pixel of a defective image";
    case MaskIssue::kMarksGoodImage:
      return "masks that mark pixels of a good image";
    case MaskIssue::kWhiteBackground:
      return "masks that probably have a white background";
    case MaskIssue::kNearlyFull:
      return "masks that mark nearly all pixels";
    case MaskIssue::kOnlyAlpha:
      return "masks with their shape in the opacity (alpha) alone, which is used";
    case MaskIssue::kLossy:
      return "masks with lossy compression (JPEG, WebP), whose edges are not exact";
  }
  return "masks";
}

std::vector<MaskFinding> CheckMask(const Mask& mask, bool good, const std::string& name) {
  constexpr double kBorder = 0.95;
  std::vector<MaskFinding> findings;
  const auto add = [&](MaskIssue issue, const std::string& problem) {
    findings.push_back({.name = name, .issue = issue, .problem = problem});
  };
  const auto marked = std::count(mask.pixels.begin(), mask.pixels.end(), kMarked);
  const double share = static_cast<double>(marked) / static_cast<double>(mask.pixels.size());
  const std::string marks = std::to_string(marked) + " of " + std::to_string(mask.pixels.size()) +
                            " pixels are marked (" + Percent(share) + ")";
  if (mask.from_alpha) {
    add(MaskIssue::kOnlyAlpha,
        "its colours mark no shape; pixels that are not fully transparent "
        "count as defective");
  }
  if (mask.lossy) {
    add(MaskIssue::kLossy,
        "pixels of at least half the brightest value count as defective; save "
        "masks as PNG");
  }
  if (good) {
    if (marked > 0) add(MaskIssue::kMarksGoodImage, marks + ", but its image is labelled good");
  } else if (marked == 0) {
    add(MaskIssue::kEmpty, "every pixel is 0, but its image is labelled defective");
  } else if (share < 1 && share > 0.5 && MarkedBorder(mask) >= kBorder) {
    add(MaskIssue::kWhiteBackground,
        marks + ", with a hole inside; the background must be 0: invert the mask");
  } else if (share >= kNearlyFull) {
    add(MaskIssue::kNearlyFull, marks + "; the background must be 0");
  }
  return findings;
}

}  // namespace proad::model
