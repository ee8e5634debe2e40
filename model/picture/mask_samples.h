// Decides which pixels of a mask are marked, from its samples as the file stores them.
//
// No LibTorch. A MaskSamples belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace proad::model {

// How a row of stored samples lies in memory: interleaved, in the machine's byte order.
struct SampleLayout {
  int samples = 1;          // of a pixel
  int colours = 1;          // the first samples of a pixel: 1 or 3; the others are not colours
  bool has_alpha = false;   // the sample behind the colours is opacity
  int bytes = 1;            // of a sample: 1, 2, 4 or 8
  bool floating = false;    // IEEE 754; otherwise integers
  uint64_t background = 0;  // the stored value of black
  bool indexes = false;     // samples of one byte are indexes into a palette
};

// An entry of a palette: red, green, blue, opacity.
using PaletteEntry = std::array<uint8_t, 4>;

// Collects the rows of a mask. Values are compared with the background as they are stored; nothing
// is scaled.
class MaskSamples {
 public:
  MaskSamples(int width, int height, const SampleLayout& layout);

  // Copies the next row: width * samples * bytes bytes. Throws InvalidInput (field "encoded",
  // IMAGE_DECODE_FAILED) for a sample that is not a number.
  void AddRow(const uint8_t* row);

  // Replaces the indexes of all rows, once, before Decide. The index decides: 0 is the background.
  // But if entry 0 has a colour and another entry in use is black, black is the background. If all
  // entries in use have one colour and differ in opacity, the opacity decides.
  void ApplyPalette(const std::vector<PaletteEntry>& palette);

  struct Marks {
    std::vector<uint8_t> pixels;  // [height, width], row-major: 255 marked, 0 not
    bool from_alpha = false;      // opacity decided
  };

  // A pixel is marked if a colour sample differs from the background. If the colours mark no pixel
  // or nearly all of them and the opacity is not the same everywhere, a pixel is marked if it is not
  // fully transparent.
  Marks Decide() &&;

 private:
  // 255 if the sample is not `zero`.
  uint8_t IsMarked(const uint8_t* sample, uint64_t zero) const;

  const SampleLayout layout_;
  const int width_;
  std::vector<uint8_t> colour_;  // 255 or 0 a pixel; indexes until ApplyPalette
  std::vector<uint8_t> alpha_;   // 255 or 0 a pixel; empty without opacity
  bool one_colour_ = false;      // of the entries in use of a palette
};

// The share of a mask's pixels above which it counts as nearly full.
inline constexpr double kNearlyFull = 0.9;

// Whether at least one pixel but not `share` of them are marked (255).
bool MarksAPart(const std::vector<uint8_t>& pixels, double share = 1);

}  // namespace proad::model
