#include "model/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace proad::model {
namespace {

// Fraction bits of a weight: 8 bits of a sample and 2 bits of headroom are left of 32.
constexpr int kFraction = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kFraction - 1);

// Eight lanes, which compilers map to whatever vectors the processor has.
using Int8 = int32_t __attribute__((vector_size(32)));
using Byte8 = uint8_t __attribute__((vector_size(8)));

// Weights of the input samples that make each of some consecutive output samples.
struct AxisWeights {
  struct Window {
    int first = 0;  // input sample
    int count = 0;
  };
  int stride = 0;                // of `weights`, from one output sample to the next
  std::vector<Window> windows;   // one an output sample
  std::vector<int32_t> weights;  // fixed point; zero after a window's count

  const int32_t* of(int output) const { return weights.data() + size_t(output) * stride; }
};

// For outputs begin .. begin + count - 1 of an axis resized from `in` to `out` samples.
AxisWeights MakeWeights(int in, int out, int begin, int count) {
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = filter_scale;  // the triangle's radius is 1
  AxisWeights axis;
  axis.stride = static_cast<int>(std::ceil(support)) * 2 + 2;  // even: taps are read in pairs
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

inline uint8_t Round(int32_t sum) { return static_cast<uint8_t>(std::min(sum >> kFraction, 255)); }

// ---------------------------------------------------------------- kernels, compiled for each
// vector width

// Interleaved weights for rows of RGB: for each pair of taps (a, b) the lanes a a a b b b 0 0.
struct PairWeights {
  struct Window {
    int first = 0;  // input pixel
    int pairs = 0;
  };
  std::vector<Window> windows;
  size_t stride = 0;  // of `lanes`
  std::vector<int32_t> lanes;
};

PairWeights MakePairs(const AxisWeights& axis) {
  PairWeights pairs;
  pairs.stride = size_t(axis.stride) / 2 * 8;
  pairs.lanes.resize(axis.windows.size() * pairs.stride);
  for (size_t i = 0; i < axis.windows.size(); ++i) {
    pairs.windows.push_back({axis.windows[i].first, (axis.windows[i].count + 1) / 2});
    const int32_t* weights = axis.of(static_cast<int>(i));
    for (int t = 0; t < axis.stride; ++t) {
      std::fill_n(&pairs.lanes[i * pairs.stride + t / 2 * 8 + t % 2 * 3], 3, weights[t]);
    }
  }
  return pairs;
}

// Reads up to kOverread bytes past the row; they are multiplied by zero.
constexpr int kOverread = 5;

[[gnu::always_inline]] inline void ResampleRowBody(const uint8_t* in, const PairWeights& axis,
                                                   uint8_t* out) {
  const int32_t* lanes = axis.lanes.data();
  for (const PairWeights::Window& window : axis.windows) {
    const uint8_t* pixel = in + size_t{3} * window.first;
    Int8 sum = {kHalf, kHalf, kHalf};
    for (int p = 0; p < window.pairs; ++p, pixel += 6) {
      Byte8 samples;
      Int8 weights;
      std::memcpy(&samples, pixel, sizeof(samples));
      std::memcpy(&weights, lanes + 8 * p, sizeof(weights));
      sum += __builtin_convertvector(samples, Int8) * weights;
    }
    for (int c = 0; c < 3; ++c) out[c] = Round(sum[c] + sum[c + 3]);
    out += 3;
    lanes += axis.stride;
  }
}

// One output row from `taps` input rows, `stride` bytes apart.
[[gnu::always_inline]] inline void BlendRowsBody(const uint8_t* in, size_t stride,
                                                 const int32_t* weights, int taps, int bytes,
                                                 uint8_t* out) {
  int x = 0;
  constexpr int kVectors = 4;
  for (; x + 8 * kVectors <= bytes; x += 8 * kVectors) {
    Int8 sums[kVectors] = {};
    for (int t = 0; t < taps; ++t) {
      const uint8_t* row = in + t * stride + x;
      for (int v = 0; v < kVectors; ++v) {
        Byte8 samples;
        std::memcpy(&samples, row + 8 * v, sizeof(samples));
        sums[v] += __builtin_convertvector(samples, Int8) * weights[t];
      }
    }
    for (int v = 0; v < kVectors; ++v) {
      for (int i = 0; i < 8; ++i) out[x + 8 * v + i] = Round(sums[v][i] + kHalf);
    }
  }
  for (; x < bytes; ++x) {
    int32_t sum = kHalf;
    for (int t = 0; t < taps; ++t) sum += in[t * stride + x] * weights[t];
    out[x] = Round(sum);
  }
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void ResampleRowAvx2(const uint8_t* in, const PairWeights& axis,
                                             uint8_t* out) {
  ResampleRowBody(in, axis, out);
}
[[gnu::target("avx2")]] void BlendRowsAvx2(const uint8_t* in, size_t stride, const int32_t* weights,
                                           int taps, int bytes, uint8_t* out) {
  BlendRowsBody(in, stride, weights, taps, bytes, out);
}
const bool kHasAvx2 = (__builtin_cpu_init(), __builtin_cpu_supports("avx2"));
#endif

void ResampleRow(const uint8_t* in, const PairWeights& axis, uint8_t* out) {
#if defined(__x86_64__)
  if (kHasAvx2) return ResampleRowAvx2(in, axis, out);
#endif
  ResampleRowBody(in, axis, out);
}

void BlendRows(const uint8_t* in, size_t stride, const int32_t* weights, int taps, int bytes,
               uint8_t* out) {
#if defined(__x86_64__)
  if (kHasAvx2) return BlendRowsAvx2(in, stride, weights, taps, bytes, out);
#endif
  BlendRowsBody(in, stride, weights, taps, bytes, out);
}

// ---------------------------------------------------------------- passes

// Pixels left .. left + width - 1 of rows top .. top + height - 1 of a larger picture. Does not own
// them.
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

// Resizes every row to the outputs of `axis`.
Image AlongRows(const View& in, const AxisWeights& axis) {
  PairWeights pairs = MakePairs(axis);
  for (PairWeights::Window& window : pairs.windows) window.first -= in.left;
  Image out{.width = static_cast<int>(pairs.windows.size()), .height = in.height};
  out.pixels.resize(size_t{3} * out.width * out.height);
  std::vector<uint8_t> last;
  for (int y = 0; y < in.height; ++y) {
    const uint8_t* row = in.pixels + y * in.stride;
    if (y == in.height - 1) {  // what follows may not be ours to read
      last.assign(row, row + size_t{3} * in.width);
      last.resize(last.size() + kOverread);
      row = last.data();
    }
    ResampleRow(row, pairs, out.pixels.data() + size_t{3} * out.width * y);
  }
  return out;
}

// Resizes every column to the outputs of `axis`.
Image AlongColumns(const View& in, const AxisWeights& axis) {
  Image out{.width = in.width, .height = static_cast<int>(axis.windows.size())};
  const int row_bytes = 3 * in.width;
  out.pixels.resize(size_t(row_bytes) * out.height);
  for (int y = 0; y < out.height; ++y) {
    const AxisWeights::Window& window = axis.windows[y];
    BlendRows(in.pixels + (window.first - in.top) * in.stride, in.stride, axis.of(y), window.count,
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

Image ResampleBilinear(const Image& image, int width, int height, const Box& region) {
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
  // The passes round to 8 bit, so their order shows. This is how Pillow decides since version 13;
  // before, rows always came first.
  const bool columns_first =
      height < image.height && image.height - height > 2 * (image.width - width);
  if (columns_first) return AlongRows(ViewOf(AlongColumns(needed, rows), x.first, 0), columns);
  return AlongColumns(ViewOf(AlongRows(needed, columns), 0, y.first), rows);
}

}  // namespace proad::model
