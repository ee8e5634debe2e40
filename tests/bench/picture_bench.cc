// The cost of an image in the server without the network: decoding, preprocessing, heatmap. One
// thread.
//
//   build/release/tests/bench/picture_bench
#include <benchmark/benchmark.h>

#include <cmath>
#include <opencv2/core/utility.hpp>

#include "model/picture/decode.h"
#include "model/picture/frame.h"
#include "model/picture/heatmap.h"
#include "model/picture/image.h"
#include "model/picture/preprocess.h"
#include "tests/support/patterns.h"

namespace proad::model {
namespace {

const Preprocessing kWhole;
const Preprocessing kPaper{.resize_height = 448, .resize_width = 448};
constexpr MapRange kRange;

// An image with texture, like a photograph. Codecs would spend most of their time on pure noise.
Image Scene(int width, int height) {
  Image image = test::Pattern(width, height);
  const Image noise = test::Noise(width, height);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    image.pixels[i] = static_cast<uint8_t>((image.pixels[i] * 15 + noise.pixels[i]) / 16);
  }
  return image;
}

std::vector<float> Map(int width, int height) {
  std::vector<float> map(size_t(width) * height);
  for (size_t i = 0; i < map.size(); ++i) map[i] = 0.1f + 0.1f * std::sin(static_cast<float>(i));
  return map;
}

void Decode(benchmark::State& state, const char* extension) {
  const int side = static_cast<int>(state.range(0));
  const std::vector<uint8_t> file = test::EncodeFile(extension, test::ToBgr(Scene(side, side)));
  for (auto _ : state) benchmark::DoNotOptimize(DecodeImage(file));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(file.size()));
}
BENCHMARK_CAPTURE(Decode, jpeg, ".jpg")->Arg(512)->Arg(2000);
BENCHMARK_CAPTURE(Decode, png, ".png")->Arg(512)->Arg(2000);
BENCHMARK_CAPTURE(Decode, bmp, ".bmp")->Arg(2000);
BENCHMARK_CAPTURE(Decode, tiff, ".tiff")->Arg(2000);

void Unpack(benchmark::State& state, PixelFormat format) {
  const std::vector<uint8_t> data(size_t{2000} * RowBytes(format, 2000), 77);
  const FrameView frame{.width = 2000, .height = 2000, .format = format, .data = data};
  for (auto _ : state) benchmark::DoNotOptimize(UnpackFrame(frame));
}
BENCHMARK_CAPTURE(Unpack, mono8, PixelFormat::kMono8);
BENCHMARK_CAPTURE(Unpack, mono16, PixelFormat::kMono16);
BENCHMARK_CAPTURE(Unpack, rgb8, PixelFormat::kRgb8);
BENCHMARK_CAPTURE(Unpack, bgr8, PixelFormat::kBgr8);
BENCHMARK_CAPTURE(Unpack, mono12p, PixelFormat::kMono12p);
BENCHMARK_CAPTURE(Unpack, bayer_rg8, PixelFormat::kBayerRg8);
BENCHMARK_CAPTURE(Unpack, bayer_rg16, PixelFormat::kBayerRg16);
BENCHMARK_CAPTURE(Unpack, yuv422, PixelFormat::kYuv422);

void Prepare(benchmark::State& state, const Preprocessing& preprocessing) {
  const Image image = Scene(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  for (auto _ : state) benchmark::DoNotOptimize(model::Prepare(image, preprocessing));
}
BENCHMARK_CAPTURE(Prepare, whole, kWhole)
    ->Args({512, 512})
    ->Args({2000, 2000})
    ->Args({1000, 2500})
    ->Args({5472, 3648});
BENCHMARK_CAPTURE(Prepare, paper, kPaper)->Args({2000, 2000});

void BackToOriginal(benchmark::State& state) {
  const std::vector<float> map = Map(256, 256);
  const int width = static_cast<int>(state.range(0));
  const int height = static_cast<int>(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(MapToOriginal(map, 256, 256, width, height, kPaper));
  }
}
BENCHMARK(BackToOriginal)->Args({512, 512})->Args({2000, 2000})->Args({5472, 3648});

void Encode(benchmark::State& state, HeatmapEncoding encoding) {
  const int side = static_cast<int>(state.range(0));
  const std::vector<float> map = Map(side, side);
  for (auto _ : state) {
    benchmark::DoNotOptimize(EncodeHeatmap(map, side, side, encoding, kRange));
  }
}
BENCHMARK_CAPTURE(Encode, float32, HeatmapEncoding::kFloat32)->Arg(256)->Arg(2000);
BENCHMARK_CAPTURE(Encode, u16, HeatmapEncoding::kU16)->Arg(256)->Arg(2000);
BENCHMARK_CAPTURE(Encode, u8, HeatmapEncoding::kU8)->Arg(256)->Arg(2000);
BENCHMARK_CAPTURE(Encode, png16, HeatmapEncoding::kPng16)->Arg(256)->Arg(2000);

void Overlay(benchmark::State& state) {
  const int side = static_cast<int>(state.range(0));
  const Image picture = Scene(side, side);
  const std::vector<float> map = MapToOriginal(Map(256, 256), 256, 256, side, side, kPaper);
  const Box area = InspectedArea(side, side, kPaper);
  for (auto _ : state) benchmark::DoNotOptimize(RenderOverlay(picture, map, kRange, area));
}
BENCHMARK(Overlay)->Arg(256)->Arg(512)->Arg(2000);

}  // namespace
}  // namespace proad::model

int main(int argc, char** argv) {
  cv::setNumThreads(1);
  benchmark::Initialize(&argc, argv);
  benchmark::SetDefaultTimeUnit(benchmark::kMillisecond);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
