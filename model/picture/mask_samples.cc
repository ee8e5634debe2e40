#include "model/picture/mask_samples.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "model/files/error.h"

namespace proad::model {
namespace {

constexpr uint8_t kMarked = 255;

template <typename T>
T Load(const uint8_t* sample) {
  T value;
  std::memcpy(&value, sample, sizeof value);
  return value;
}

bool IsNotZero(double value) {
  if (std::isnan(value)) {
    throw InvalidImage(
        "encoded", "IMAGE_DECODE_FAILED",
        "a sample of the mask is not a number (NaN); 0 or another number is expected");
  }
  return value != 0;
}

bool IsBlack(const PaletteEntry& entry) { return entry[0] == 0 && entry[1] == 0 && entry[2] == 0; }

bool SameColour(const PaletteEntry& a, const PaletteEntry& b) {
  return std::equal(a.begin(), a.begin() + 3, b.begin());
}

std::vector<bool> UsedEntries(const std::vector<uint8_t>& indexes, size_t entries) {
  std::vector<bool> used(entries);
  for (const uint8_t index : indexes) {
    if (index >= entries) {
      throw InvalidImage("encoded", "IMAGE_DECODE_FAILED",
                         "a pixel of the mask has the index " + std::to_string(index) +
                             ", but its palette has " + std::to_string(entries) + " colours");
    }
    used[index] = true;
  }
  return used;
}

}  // namespace

bool MarksAPart(const std::vector<uint8_t>& pixels, double share) {
  const auto marked = std::count(pixels.begin(), pixels.end(), kMarked);
  return marked > 0 && static_cast<double>(marked) < share * static_cast<double>(pixels.size());
}

MaskSamples::MaskSamples(int width, int height, const SampleLayout& layout)
    : layout_(layout), width_(width) {
  const size_t pixels = size_t(width) * height;
  colour_.reserve(pixels);
  if (layout.has_alpha) alpha_.reserve(pixels);
}

uint8_t MaskSamples::IsMarked(const uint8_t* sample, uint64_t zero) const {
  bool marked = false;
  if (layout_.floating) {
    // A half-precision number is 0 if all bits but its sign are.
    marked = layout_.bytes == 8   ? IsNotZero(Load<double>(sample))
             : layout_.bytes == 4 ? IsNotZero(Load<float>(sample))
                                  : (Load<uint16_t>(sample) & 0x7FFF) != 0;
  } else if (layout_.bytes == 1) {
    marked = *sample != zero;
  } else if (layout_.bytes == 2) {
    marked = Load<uint16_t>(sample) != zero;
  } else {
    marked = (layout_.bytes == 4 ? Load<uint32_t>(sample) : Load<uint64_t>(sample)) != zero;
  }
  return marked ? kMarked : 0;
}

void MaskSamples::AddRow(const uint8_t* row) {
  if (layout_.indexes) {
    colour_.insert(colour_.end(), row, row + width_);
    return;
  }
  const int step = layout_.samples * layout_.bytes;
  for (int x = 0; x < width_; ++x, row += step) {
    uint8_t marked = 0;
    for (int c = 0; c < layout_.colours; ++c)
      marked |= IsMarked(row + ptrdiff_t{c} * layout_.bytes, layout_.background);
    colour_.push_back(marked);
    if (layout_.has_alpha)
      alpha_.push_back(IsMarked(row + ptrdiff_t{layout_.colours} * layout_.bytes, 0));
  }
}

void MaskSamples::ApplyPalette(const std::vector<PaletteEntry>& palette) {
  const std::vector<bool> used = UsedEntries(colour_, palette.size());
  bool black = false;
  bool transparent = false;
  const PaletteEntry* first = nullptr;
  one_colour_ = true;
  for (size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) continue;
    black = black || IsBlack(palette[i]);
    transparent = transparent || palette[i][3] == 0;
    if (first == nullptr) first = &palette[i];
    one_colour_ = one_colour_ && SameColour(*first, palette[i]);
  }
  const bool by_colour = !palette.empty() && !IsBlack(palette[0]) && black;
  if (transparent) {
    alpha_.resize(colour_.size());
    std::transform(colour_.begin(), colour_.end(), alpha_.begin(), [&palette](uint8_t index) {
      return palette[index][3] != 0 ? kMarked : uint8_t{0};
    });
  }
  for (uint8_t& pixel : colour_)
    pixel = (by_colour ? !IsBlack(palette[pixel]) : pixel != 0) ? kMarked : 0;
}

MaskSamples::Marks MaskSamples::Decide() && {
  const bool by_alpha = MarksAPart(alpha_) && (one_colour_ || !MarksAPart(colour_, kNearlyFull));
  return {.pixels = std::move(by_alpha ? alpha_ : colour_), .from_alpha = by_alpha};
}

}  // namespace proad::model
