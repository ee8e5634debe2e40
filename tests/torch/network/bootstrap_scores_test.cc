// proad-tiny with the shipped weights, over images of the sample whose scores another
// implementation computed.

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

#include "model/files/csv.h"
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
const fs::path kSample = kSource / "deploy" / "sample";

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Images of the sample and their scores, computed with Pillow's resize and PyTorch in float32.
std::vector<std::pair<std::string, double>> ReferenceScores() {
  const fs::path file = kSource / "tests" / "support" / "reference_scores.csv";
  std::vector<std::pair<std::string, double>> scores;
  for (const CsvRow& row : ParseCsv(ReadFile(file), file.string())) {
    if (row.fields[0] != "image") scores.emplace_back(row.fields[0], std::stod(row.fields[1]));
  }
  return scores;
}

// [1, H, W, 3], uint8: as serving prepares the image.
torch::Tensor Pixels(const fs::path& path, const Preprocessing& preprocessing) {
  const std::string bytes = ReadFile(path);
  PreparedImage prepared = Prepare(
      DecodeImage({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}), preprocessing);
  return at::from_blob(prepared.pixels.data(), {1, prepared.height, prepared.width, 3}, at::kByte)
      .clone();
}

TEST(ShippedWeights, GiveTheReferenceScores) {
  const auto scores = ReferenceScores();
  ASSERT_EQ(scores.size(), 16U);
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
  for (const auto& [image, expected] : scores) {
    const torch::Tensor pixels = Pixels(kSample / image, preprocessing);
    const double as_written =
        ImageScore(anomaly_map(model->forward(Normalize(pixels, preprocessing)))).item<double>();
    const double as_served = frozen.Detect(pixels).scores.item<double>();
    EXPECT_NEAR(as_written, expected, 1e-3 * expected) << image;
    EXPECT_NEAR(as_served, expected, 1e-3 * expected) << image;
    worst = std::max(worst, std::abs(as_served / expected - 1));
  }
  std::cout << "worst relative error " << worst << "\n";
}

}  // namespace
}  // namespace proad::model
