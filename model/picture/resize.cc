#include "model/picture/resize.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "model/files/error.h"

namespace proad::model {
namespace {

// Fraction bits of a weight: 8 bits of a sample and 2 bits of headroom are left of 32.
constexpr int kFraction = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kFraction - 1);

// The weights of the input samples for consecutive output samples.
struct AxisWeights {
  struct Window {
    int first = 0;  // input sample
    int count = 0;
  };
  int stride = 0;                // of `weights` between output samples; a multiple of four
  std::vector<Window> windows;   // one for each output sample
  std::vector<int32_t> weights;  // fixed point; zero after the count of a window

  const int32_t* of(int output) const { return weights.data() + size_t(output) * stride; }
};

// For outputs begin .. begin + count - 1 of an axis resized from `in` to `out` samples.
AxisWeights MakeWeights(int in, int out, int begin, int count) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_scale;  // the triangle's radius is 1
  AxisWeights axis;
  axis.stride = (static_cast<int>(std::ceil(support)) * 2 + 1 + 3) / 4 * 4;
  axis.windows.resize(count);
  axis.weights.resize(size_t(count) * axis.stride);
  std::vector<double> exact(axis.stride);
  for (int i = 0; i < count; ++i) {
    const double center = (begin + i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int taps = std::min(static_cast<int>(center + support + 0.5), in) - first;
    double sum = 0;
    for (int t = 0; t < taps; ++t) {
      const double distance = std::abs((t + first - center + 0.5) * (1.0 / filter_scale));
      exact[t] = std::max(1.0 - distance, 0.0);
      sum += exact[t];
    }
    for (int t = 0; t < taps; ++t) {
      const double weight = sum != 0 ? exact[t] / sum : exact[t];
      axis.weights[size_t(i) * axis.stride + t] =
          static_cast<int32_t>(0.5 + weight * (1 << kFraction));
    }
    axis.windows[i] = {first, taps};
  }
  return axis;
}

// ---------------------------------------------------------------- kernels

inline uint8_t Round(int32_t sum) {
  return static_cast<uint8_t>(std::min((sum + kHalf) >> kFraction, 255));
}

// One row of RGB pixels, the first of which is input pixel `left`.
void ResampleRow(const uint8_t* in, int left, const AxisWeights& axis, uint8_t* out) {
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    const AxisWeights::Window& window = axis.windows[i];
    const uint8_t* pixel = in + ptrdiff_t{3} * (window.first - left);
    const int32_t* weights = axis.of(static_cast<int>(i));
    int32_t sums[3] = {};
    for (int t = 0; t < window.count; ++t) {
      for (int c = 0; c < 3; ++c) sums[c] += pixel[3 * t + c] * weights[t];
    }
    for (int c = 0; c < 3; ++c) *out++ = Round(sums[c]);
  }
}

// One output row from `taps` input rows, `stride` bytes apart.
void BlendRows(const uint8_t* in, size_t stride, const int32_t* weights, int taps, int bytes,
               uint8_t* out) {
  constexpr int kChunk = 512;  // sums stay in the cache
  for (int begin = 0; begin < bytes; begin += kChunk) {
    const int count = std::min(kChunk, bytes - begin);
    int32_t sums[kChunk] = {};
    for (int t = 0; t < taps; ++t) {
      const uint8_t* row = in + t * stride + begin;
      for (int x = 0; x < count; ++x) sums[x] += row[x] * weights[t];
    }
    for (int x = 0; x < count; ++x) out[begin + x] = Round(sums[x]);
  }
}

#if defined(__x86_64__)
// The same kernels for processors with AVX2.

// Bytes that ResampleRowAvx2 reads past a row; it multiplies them by zero.
constexpr int kOverread = 3 * 3 + 4;

// Weights for multiply-and-add of 16 bit numbers: weight = high * 2^11 + low. For each four taps a,
// b, c, d: the 16 high parts a b a b a b a b, c d c d c d c d, then the 16 low parts.
struct SplitWeights {
  static constexpr int kLowBits = 11;
  size_t stride = 0;  // of `parts`, from one output pixel to the next
  std::vector<int16_t> parts;
};

SplitWeights Split(const AxisWeights& axis) {
  SplitWeights split;
  split.stride = size_t(axis.stride) / 4 * 32;
  split.parts.resize(axis.windows.size() * split.stride);
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    for (int t = 0; t < axis.stride; ++t) {
      const int32_t weight = axis.of(static_cast<int>(i))[t];
      int16_t* parts = &split.parts[i * split.stride + t / 4 * 32 + t / 2 % 2 * 8 + t % 2];
      for (int lane = 0; lane < 8; lane += 2) {
        parts[lane] = static_cast<int16_t>(weight >> SplitWeights::kLowBits);
        parts[lane + 16] = static_cast<int16_t>(weight & ((1 << SplitWeights::kLowBits) - 1));
      }
    }
  }
  return split;
}

[[gnu::target("avx2")]] inline __m256i LoadParts(const int16_t* parts) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(parts));
}

[[gnu::target("avx2")]] void ResampleRowAvx2(const uint8_t* in, int left, const AxisWeights& axis,
                                             const SplitWeights& split, uint8_t* out) {
  // Pairs the channels of two neighbouring pixels in each half: r r g g b b.
  const __m256i pairs =
      _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,  //
                       6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
  for (size_t i = 0; i < axis.windows.size(); ++i, out += 3) {
    const AxisWeights::Window& window = axis.windows[i];
    const uint8_t* pixel = in + ptrdiff_t{3} * (window.first - left);
    const int16_t* parts = &split.parts[i * split.stride];
    __m256i high = _mm256_setzero_si256();
    __m256i low = high;
    for (int t = 0; t < window.count; t += 4, pixel += 12, parts += 32) {
      const __m128i loaded = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel));
      const __m256i samples = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(loaded), pairs);
      high = _mm256_add_epi32(high, _mm256_madd_epi16(samples, LoadParts(parts)));
      low = _mm256_add_epi32(low, _mm256_madd_epi16(samples, LoadParts(parts + 16)));
    }
    const __m256i both = _mm256_add_epi32(_mm256_slli_epi32(high, SplitWeights::kLowBits), low);
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    sum = _mm_srai_epi32(_mm_add_epi32(sum, _mm_set1_epi32(kHalf)), kFraction);
    sum = _mm_packus_epi16(_mm_packs_epi32(sum, sum), sum);
    const int rgb = _mm_cvtsi128_si32(sum);
    std::memcpy(out, &rgb, 3);
  }
}

[[gnu::target("avx2")]] void BlendRowsAvx2(const uint8_t* in, size_t stride, const int32_t* weights,
                                           int taps, int bytes, uint8_t* out) {
  int x = 0;
  for (; x + 16 <= bytes; x += 16) {
    __m256i sums[2] = {_mm256_set1_epi32(kHalf), _mm256_set1_epi32(kHalf)};
    for (int t = 0; t < taps; ++t) {
      const uint8_t* row = in + t * stride + x;
      const __m256i weight = _mm256_set1_epi32(weights[t]);
      for (int half = 0; half < 2; ++half) {
        const __m128i loaded = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + 8 * half));
        sums[half] =
            _mm256_add_epi32(sums[half], _mm256_mullo_epi32(_mm256_cvtepu8_epi32(loaded), weight));
      }
    }
    const __m256i words = _mm256_packs_epi32(_mm256_srai_epi32(sums[0], kFraction),
                                             _mm256_srai_epi32(sums[1], kFraction));
    // Packing works in halves of 128 bits; this reorders 0-3 8-11 | 4-7 12-15.
    const __m256i ordered = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i result =
        _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + x), result);
  }
  BlendRows(in + x, stride, weights, taps, bytes - x, out + x);
}

bool HasAvx2() {
  static const bool has = __builtin_cpu_supports("avx2");
  return has;
}
#endif

// ---------------------------------------------------------------- passes

// Columns left .. left + width - 1 of rows top .. top + height - 1 of a larger image. Does not own
// the pixels.
struct View {
  const uint8_t* pixels = nullptr;  // of its first pixel
  size_t stride = 0;                // bytes from one row to the next
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

View ViewOf(const Image& image, int left, int top) {
  return {image.pixels.data(), size_t{3} * image.width, left, top, image.width, image.height};
}

// Resizes all rows.
Image AlongRows(const View& in, const AxisWeights& axis) {
  Image out{.width = static_cast<int>(axis.windows.size()), .height = in.height};
  const size_t out_stride = size_t{3} * out.width;
  out.pixels.resize(out_stride * out.height);
  int y = 0;
#if defined(__x86_64__)
  if (HasAvx2()) {
    const SplitWeights split = Split(axis);
    // The AVX2 kernel reads past the end of a row, so the last rows use the portable kernel.
    const int safe = in.height - 1 - kOverread / (3 * in.width);
    for (; y < safe; ++y) {
      ResampleRowAvx2(in.pixels + y * in.stride, in.left, axis, split,
                      out.pixels.data() + y * out_stride);
    }
  }
#endif
  for (; y < in.height; ++y) {
    ResampleRow(in.pixels + y * in.stride, in.left, axis, out.pixels.data() + y * out_stride);
  }
  return out;
}

// Resizes all columns.
Image AlongColumns(const View& in, const AxisWeights& axis) {
  Image out{.width = in.width, .height = static_cast<int>(axis.windows.size())};
  const int row_bytes = 3 * in.width;
  out.pixels.resize(size_t(row_bytes) * out.height);
  auto blend = BlendRows;
#if defined(__x86_64__)
  if (HasAvx2()) blend = BlendRowsAvx2;
#endif
  for (int y = 0; y < out.height; ++y) {
    const AxisWeights::Window& window = axis.windows[y];
    blend(in.pixels + (window.first - in.top) * in.stride, in.stride, axis.of(y), window.count,
          row_bytes, out.pixels.data() + size_t(row_bytes) * y);
  }
  return out;
}

Image Copy(const View& in) {
  Image out{.width = in.width, .height = in.height};
  for (int y = 0; y < in.height; ++y) {
    const uint8_t* row = in.pixels + y * in.stride;
    out.pixels.insert(out.pixels.end(), row, row + size_t{3} * in.width);
  }
  return out;
}

// The input samples that `axis` reads.
AxisWeights::Window Span(const AxisWeights& axis) {
  const AxisWeights::Window& last = axis.windows.back();
  return {axis.windows.front().first, last.first + last.count - axis.windows.front().first};
}

}  // namespace

void CheckPixels(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.pixels.size() != size_t{3} * image.width * image.height) {
    throw InvalidImage("image", "IMAGE_EMPTY",
                       "an image of " + std::to_string(image.width) + " x " +
                           std::to_string(image.height) + " pixels with " +
                           std::to_string(image.pixels.size()) +
                           " bytes; it must have at least one pixel and 3 bytes a pixel");
  }
}

Image ResizeBilinear(const Image& image, int width, int height) {
  CheckPixels(image);
  if (width < 1 || height < 1) {
    throw InvalidInput("preprocessing", "PREPROCESSING_INVALID",
                       "cannot resize an image to " + std::to_string(width) + " x " +
                           std::to_string(height) + " pixels; at least 1 x 1 is needed");
  }
  return ResizeBilinear(image, width, height, {0, 0, width, height});
}

Image ResizeBilinear(const Image& image, int width, int height, const Box& region) {
  const bool horizontal = width != image.width;
  const bool vertical = height != image.height;
  AxisWeights columns;
  AxisWeights rows;
  AxisWeights::Window x = {region.x, region.width};
  AxisWeights::Window y = {region.y, region.height};
  if (horizontal) {
    columns = MakeWeights(image.width, width, region.x, region.width);
    x = Span(columns);
  }
  if (vertical) {
    rows = MakeWeights(image.height, height, region.y, region.height);
    y = Span(rows);
  }
  const View needed = {image.pixels.data() + 3 * (size_t(y.first) * image.width + x.first),
                       size_t{3} * image.width,
                       x.first,
                       y.first,
                       x.count,
                       y.count};

  if (!horizontal && !vertical) return Copy(needed);
  if (!vertical) return AlongRows(needed, columns);
  if (!horizontal) return AlongColumns(needed, rows);
  // Each pass rounds to 8 bits, so their order changes the result. Pillow decides like this since
  // version 13; before, rows always came first.
  const bool columns_first =
      height < image.height && image.height - height > 2 * (image.width - width);
  if (columns_first) return AlongRows(ViewOf(AlongColumns(needed, rows), x.first, 0), columns);
  return AlongColumns(ViewOf(AlongRows(needed, columns), 0, y.first), rows);
}

}  // namespace proad::model
