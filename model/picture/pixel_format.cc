#include "model/picture/pixel_format.h"

#include <algorithm>
#include <iterator>
#include <opencv2/core/mat.hpp>
#include <opencv2/imgproc.hpp>

#include "model/picture/image.h"

namespace proad::model {
namespace {

using UnpackRow = void (*)(const uint8_t* in, int width, uint8_t* out);

template <UnpackRow kUnpackRow>
void UnpackRows(const PixelRows& in, uint8_t* out) {
  for (int y = 0; y < in.height; ++y) {
    kUnpackRow(in.data + y * in.stride, in.width, out + int64_t{3} * in.width * y);
  }
}

template <int kBits>
uint8_t ScaleTo8Bits(int sample) {
  constexpr int kWhite = (1 << kBits) - 1;
  if constexpr (kBits == 16) return ScaleTo8Bit(static_cast<uint16_t>(sample));
  return static_cast<uint8_t>((std::min(sample, kWhite) * 255 + kWhite / 2) / kWhite);
}

int WordAt(const uint8_t* in, int x) { return in[2 * x] | in[2 * x + 1] << 8; }

// Sample x of a row whose samples follow each other without gaps, lowest bit first. A sample of 10
// or 12 bits always lies in two bytes.
template <int kBits>
int PackedSampleAt(const uint8_t* in, int x) {
  const int64_t bit = int64_t{x} * kBits;
  const uint8_t* at = in + bit / 8;
  return ((at[0] | at[1] << 8) >> bit % 8) & ((1 << kBits) - 1);
}

template <int kBits, int (*kSampleAt)(const uint8_t* in, int x)>
void UnpackMono(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x)
    std::fill_n(out + 3 * x, 3, ScaleTo8Bits<kBits>(kSampleAt(in, x)));
}

void UnpackMono8(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) std::fill_n(out + 3 * x, 3, in[x]);
}

void UnpackRgb8(const uint8_t* in, int width, uint8_t* out) { std::copy_n(in, 3 * width, out); }

void UnpackBgr8(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; ++x) {
    out[3 * x] = in[3 * x + 2];
    out[3 * x + 1] = in[3 * x + 1];
    out[3 * x + 2] = in[3 * x];
  }
}

// BT.601 with full range: R = Y + 1.402 V, G = Y - 0.344136 U - 0.714136 V, B = Y + 1.772 U.
void ConvertYuv(int luma, int u, int v, uint8_t* out) {
  constexpr int kHalf = 1 << 19;  // of the factors, which have 20 fractional bits
  u -= 128;
  v -= 128;
  const auto write = [&](int i, int difference) {
    out[i] = static_cast<uint8_t>(std::clamp(luma + ((difference + kHalf) >> 20), 0, 255));
  };
  write(0, 1'470'104 * v);
  write(1, -360'853 * u - 748'826 * v);
  write(2, 1'858'077 * u);
}

// The first Y and U of each four bytes stand at kY and kU, the second Y and V two bytes further.
template <int kY, int kU>
void UnpackYuv422(const uint8_t* in, int width, uint8_t* out) {
  for (int x = 0; x < width; x += 2, in += 4, out += 6) {
    ConvertYuv(in[kY], in[kU], in[kU + 2], out);
    ConvertYuv(in[kY + 2], in[kU], in[kU + 2], out + 3);
  }
}

// kCode: OpenCV's. Its names with two letters are those of the second row from the second column
// on; the names with four letters are those of the first two rows, as PFNC has them.
template <int kCode>
void DemosaicBytes(const PixelRows& in, uint8_t* out) {
  // OpenCV only reads from it.
  const cv::Mat samples(in.height, in.width, CV_8UC1, const_cast<uint8_t*>(in.data), in.stride);
  cv::Mat rgb(in.height, in.width, CV_8UC3, out);
  cv::cvtColor(samples, rgb, kCode);
}

// Interpolates with all bits, then scales.
template <int kCode, int kBits>
void DemosaicWords(const PixelRows& in, uint8_t* out) {
  cv::Mat samples(in.height, in.width, CV_16UC1);
  for (int y = 0; y < in.height; ++y) {
    auto* row = samples.ptr<uint16_t>(y);
    for (int x = 0; x < in.width; ++x) {
      row[x] = static_cast<uint16_t>(WordAt(in.data + y * in.stride, x));
    }
  }
  cv::Mat rgb;
  cv::cvtColor(samples, rgb, kCode);
  for (int y = 0; y < in.height; ++y) {
    const auto* row = rgb.ptr<uint16_t>(y);
    out = std::transform(row, row + int64_t{3} * in.width, out, ScaleTo8Bits<kBits>);
  }
}

constexpr int kRg = cv::COLOR_BayerRGGB2RGB;
constexpr int kGb = cv::COLOR_BayerGBRG2RGB;
constexpr int kGr = cv::COLOR_BayerGRBG2RGB;
constexpr int kBg = cv::COLOR_BayerBGGR2RGB;

using enum PixelFormat;
constexpr PixelFamily kMono = PixelFamily::kMono;
constexpr PixelFamily kRgb = PixelFamily::kRgb;
constexpr PixelFamily kBayer = PixelFamily::kBayer;
constexpr PixelFamily kYuv = PixelFamily::kYuv422;

constexpr PixelFormatTraits kFormats[] = {
    {kMono8, "Mono8", "MONO8", kMono, 8, 8, UnpackRows<UnpackMono8>},
    {kMono10, "Mono10", "MONO10", kMono, 10, 16, UnpackRows<UnpackMono<10, WordAt>>},
    {kMono12, "Mono12", "MONO12", kMono, 12, 16, UnpackRows<UnpackMono<12, WordAt>>},
    {kMono10p, "Mono10p", "MONO10P", kMono, 10, 10, UnpackRows<UnpackMono<10, PackedSampleAt<10>>>},
    {kMono12p, "Mono12p", "MONO12P", kMono, 12, 12, UnpackRows<UnpackMono<12, PackedSampleAt<12>>>},
    {kMono16, "Mono16", "MONO16", kMono, 16, 16, UnpackRows<UnpackMono<16, WordAt>>},
    {kRgb8, "RGB8", "RGB8", kRgb, 8, 24, UnpackRows<UnpackRgb8>},
    {kBgr8, "BGR8", "BGR8", kRgb, 8, 24, UnpackRows<UnpackBgr8>},
    {kBayerRg8, "BayerRG8", "BAYER_RG8", kBayer, 8, 8, DemosaicBytes<kRg>},
    {kBayerGb8, "BayerGB8", "BAYER_GB8", kBayer, 8, 8, DemosaicBytes<kGb>},
    {kBayerGr8, "BayerGR8", "BAYER_GR8", kBayer, 8, 8, DemosaicBytes<kGr>},
    {kBayerBg8, "BayerBG8", "BAYER_BG8", kBayer, 8, 8, DemosaicBytes<kBg>},
    {kBayerRg10, "BayerRG10", "BAYER_RG10", kBayer, 10, 16, DemosaicWords<kRg, 10>},
    {kBayerGb10, "BayerGB10", "BAYER_GB10", kBayer, 10, 16, DemosaicWords<kGb, 10>},
    {kBayerGr10, "BayerGR10", "BAYER_GR10", kBayer, 10, 16, DemosaicWords<kGr, 10>},
    {kBayerBg10, "BayerBG10", "BAYER_BG10", kBayer, 10, 16, DemosaicWords<kBg, 10>},
    {kBayerRg12, "BayerRG12", "BAYER_RG12", kBayer, 12, 16, DemosaicWords<kRg, 12>},
    {kBayerGb12, "BayerGB12", "BAYER_GB12", kBayer, 12, 16, DemosaicWords<kGb, 12>},
    {kBayerGr12, "BayerGR12", "BAYER_GR12", kBayer, 12, 16, DemosaicWords<kGr, 12>},
    {kBayerBg12, "BayerBG12", "BAYER_BG12", kBayer, 12, 16, DemosaicWords<kBg, 12>},
    {kBayerRg16, "BayerRG16", "BAYER_RG16", kBayer, 16, 16, DemosaicWords<kRg, 16>},
    {kBayerGb16, "BayerGB16", "BAYER_GB16", kBayer, 16, 16, DemosaicWords<kGb, 16>},
    {kBayerGr16, "BayerGR16", "BAYER_GR16", kBayer, 16, 16, DemosaicWords<kGr, 16>},
    {kBayerBg16, "BayerBG16", "BAYER_BG16", kBayer, 16, 16, DemosaicWords<kBg, 16>},
    {kYuv422, "YUV422_8", "YUV422_8", kYuv, 8, 16, UnpackRows<UnpackYuv422<0, 1>>},
    {kYuv422Uyvy, "YUV422_8_UYVY", "YUV422_8_UYVY", kYuv, 8, 16, UnpackRows<UnpackYuv422<1, 0>>},
};

}  // namespace

std::span<const PixelFormatTraits> PixelFormats() { return kFormats; }

const PixelFormatTraits& TraitsOf(PixelFormat format) {
  return *std::find_if(std::begin(kFormats), std::end(kFormats),
                       [&](const PixelFormatTraits& traits) { return traits.format == format; });
}

int64_t RowBytes(PixelFormat format, int64_t width) {
  return (width * TraitsOf(format).bits_per_pixel + 7) / 8;
}

int UnpackBytesPerPixel(PixelFormat format) {
  const PixelFormatTraits& traits = TraitsOf(format);
  const bool wide = traits.family == PixelFamily::kBayer && traits.bits_per_sample > 8;
  return wide ? 2 + 6 + 3 : 3;  // samples and colours of 16 bits
}

}  // namespace proad::model
