// The shipped weights over pictures whose scores are known from another implementation.

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "model/files/tensor_file.h"
#include "model/network/anomaly_map.h"
#include "model/network/encoder.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/pro_ad.h"
#include "model/network/weight_import.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "model/spec/preset.h"
#include "tests/support/paths.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = proad::testing::SourceFolder();
const fs::path kPictures = kSource / ".." / "shared" / "datasets" / "factory4";

// Computed with Pillow's resize and PyTorch, in float32.
const std::vector<std::pair<std::string, double>> kScores = {
    {"alien/test/damaged/000.png", 0.13931},  {"alien/test/damaged/019.png", 0.126883},
    {"alien/test/damaged/038.png", 0.122671}, {"alien/test/damaged/057.png", 0.133994},
    {"alien/test/good/056.png", 0.093611},    {"pcb/test/good/097.png", 0.080759},
    {"pcb/test/wiring/116.png", 0.074615},    {"pcb/test/wiring/135.png", 0.087235},
    {"pcb/test/wiring/154.png", 0.069318},    {"brick/test/good/013.png", 0.062634},
    {"brick/test/hole/002.png", 0.101636},    {"brick/test/scratch/006.png", 0.10532},
    {"brick/test/stain/010.png", 0.074065},   {"gravel/test/good/014.png", 0.067304},
    {"gravel/test/hole/003.png", 0.083598},   {"gravel/test/scratch/007.png", 0.06389},
};

torch::Tensor Pixels(const fs::path& path, const Preprocessing& preprocessing) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  PreparedImage prepared = Prepare(DecodeImage(bytes), preprocessing);
  return at::from_blob(prepared.pixels.data(), {1, prepared.height, prepared.width, 3}, at::kByte)
      .clone();
}

TEST(ShippedWeights, GiveTheScoresOfTheReference) {
  if (!fs::exists(kPictures)) {
    GTEST_SKIP() << "the pictures of factory4 are not at " << kPictures;
  }
  at::set_num_threads(1);  // other tests run beside this one
  const c10::InferenceMode inference;
  const fs::path weights = kSource / "model" / "weights";
  const ModelConfig config = PresetConfig("proad-tiny");
  const Preprocessing preprocessing = PresetPreprocessing("proad-tiny");
  ProAd model(config);
  LoadEncoder(*model->encoder,
              ImportEncoder(ReadTensorFile(weights / "encoder-tiny.safetensors"), config.encoder));
  LoadTrainable(model, ReadTensorFile(weights / "proad-tiny.safetensors"));
  model->eval();
  const FrozenProAd frozen(model, preprocessing);
  const AnomalyMap anomaly_map(config, at::kCPU);
  double worst = 0;
  for (const auto& [picture, expected] : kScores) {
    const torch::Tensor pixels = Pixels(kPictures / picture, preprocessing);
    const double as_written =
        ImageScore(anomaly_map(model->forward(Normalize(pixels, preprocessing)))).item<double>();
    const double as_served = frozen.Detect(pixels).scores.item<double>();
    EXPECT_NEAR(as_written, expected, 1e-3 * expected) << picture;
    EXPECT_NEAR(as_served, expected, 1e-3 * expected) << picture;
    worst = std::max(worst, std::abs(as_served / expected - 1));
  }
  std::cout << "worst relative error " << worst << "\n";
}

}  // namespace
}  // namespace proad::model
