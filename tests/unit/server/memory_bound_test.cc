#include "server/memory_bound.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "model/picture/decode.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

uint64_t BytesOf(const MemoryBound& bound, const std::string& part) {
  for (const MemoryBound::Part& each : bound.parts) {
    if (each.name == part) return each.bytes;
  }
  ADD_FAILURE() << "there is no part " << part;
  return 0;
}

ResolvedConfig Small() {
  Config config;
  config.endpoint.max_memory = 100 << 20;
  config.admission.max_images = 10;
  config.admission.max_bytes = 50 << 20;
  config.output.max_bytes = 30 << 20;
  config.detector.image.max_pixels = 1'000'000;
  config.detector.pixel_bytes = 200 << 20;
  config.batching.batch.max_batch = 4;
  config.workers.workers = 2;
  return Resolve(config, {.device = "cpu", .cores = 2});
}

TEST(MemoryBoundTest, IsTheSumOfItsParts) {
  const MemoryBound bound = ComputeMemoryBound(Small(), {.names = 3, .largest_version = 7 * kMiB});
  EXPECT_EQ(BytesOf(bound, "program"), 512 * kMiB);
  EXPECT_EQ(BytesOf(bound, "models"), (4 * 3 + 3) * 7 * kMiB);
  EXPECT_EQ(BytesOf(bound, "gRPC"), 150 * kMiB);
  EXPECT_EQ(BytesOf(bound, "images"), 50 * kMiB);
  EXPECT_EQ(BytesOf(bound, "answers"), 60 * kMiB);
  EXPECT_EQ(BytesOf(bound, "prepared images"), 15 * kMiB);
  EXPECT_EQ(BytesOf(bound, "pixels"), 200 * kMiB);
  EXPECT_EQ(BytesOf(bound, "batches"), 512 * kMiB);
  uint64_t sum = 0;
  for (const MemoryBound::Part& part : bound.parts) sum += part.bytes;
  EXPECT_EQ(bound.total(), sum);
}

TEST(MemoryBoundTest, ASingleImageMayNeedMoreThanTheBudgetOfPixels) {
  ResolvedConfig config = Small();
  config.values.detector.pixel_bytes = 1 << 20;
  EXPECT_EQ(BytesOf(ComputeMemoryBound(config, {}), "pixels"),
            static_cast<uint64_t>(Detector::MaxPixelBytes(config.values.detector)));
}

TEST(MemoryBoundTest, OutputsOfTheLargestImageCountOnlyWithinTheirLimit) {
  Detector::Options options;
  options.image.max_pixels = 64'000'000;
  options.max_output_pixels = 1'000'000;
  EXPECT_EQ(Detector::MaxPixelBytes(options), model::MaxDecodeBytes(64'000'000));
  options.max_output_pixels = 64'000'000;
  EXPECT_GT(Detector::MaxPixelBytes(options), model::MaxDecodeBytes(64'000'000));
}

TEST(MemoryBoundTest, WeightsAndActivationsOnAGpuAreNotResident) {
  ResolvedConfig config = Small();
  config.device = "cuda:0";
  const MemoryBound bound = ComputeMemoryBound(config, {.names = 3, .largest_version = 7 * kMiB});
  EXPECT_EQ(BytesOf(bound, "models"), 3 * 7 * kMiB) << "while one is loaded";
  EXPECT_EQ(BytesOf(bound, "batches"), 0u);
}

TEST(MemoryBoundTest, AStoreIsMeasuredByNamesAndItsLargestVersion) {
  const testing::TempDirectory store;
  EXPECT_EQ(MeasureStore(store / "missing").names, 0);
  for (const char* version : {"pcb/1", "pcb/2", "brick/1", ".staging-1/x"}) {
    std::filesystem::create_directories(store / version);
  }
  testing::WriteText(store / "pcb/1/model.safetensors", "12345");
  testing::WriteText(store / "pcb/2/model.safetensors", "1234567");
  testing::WriteText(store / "pcb/2/manifest.json", "123");
  const StoredModels models = MeasureStore(store.path());
  EXPECT_EQ(models.names, 2);
  EXPECT_EQ(models.largest_version, 10u);
}

}  // namespace
}  // namespace proad::server
