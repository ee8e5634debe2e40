#include "server/serving/torch_model.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/network/import_version.h"
#include "model/network/probe.h"
#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "server/util/cores.h"
#include "server/util/status_details.h"
#include "tests/support/paths.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ReadText;
using ::testing::SizeIs;
using testing::TempDirectory;
using testing::WriteText;

// The shipped model, published once for all cases; each case works on a copy.
class TorchModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    store_ = new TempDirectory;
    const fs::path weights = proad::testing::SourceFolder() / "model" / "weights";
    model::ImportOptions options;
    options.store = store_->path();
    options.name = "tiny";
    options.preset = "proad-tiny";
    options.encoder_file = weights / "encoder-tiny.safetensors";
    options.weights_file = weights / "proad-tiny.safetensors";
    published_ = new fs::path(model::ImportVersion(options).directory);
    loader_ = new ModelLoader(MakeTorchModelLoader({.threads = 1}, "cpu", 4));
  }
  static void TearDownTestSuite() {
    delete loader_;
    delete published_;
    delete store_;
  }

  TorchModelTest() { fs::copy(*published_, directory_, fs::copy_options::recursive); }

  absl::StatusOr<ModelHandle> Load() { return (*loader_)(directory_); }

  // Pictures of the model's input size; the first is the probe's.
  static std::vector<model::PreparedImage> Images(const ServableModel& loaded) {
    const model::Preprocessing& preprocessing = loaded.manifest().preprocessing;
    model::PreparedImage probe =
        model::Prepare(model::DecodeImage(model::ProbeImage()), preprocessing);
    model::PreparedImage mirrored = probe, grey = probe;
    std::reverse(mirrored.pixels.begin(), mirrored.pixels.end());
    std::fill(grey.pixels.begin(), grey.pixels.end(), uint8_t{90});
    return {probe, mirrored, grey};
  }

  static TempDirectory* store_;
  static fs::path* published_;
  static ModelLoader* loader_;
  TempDirectory scratch_;
  const fs::path directory_ = scratch_ / "1";
};
TempDirectory* TorchModelTest::store_ = nullptr;
fs::path* TorchModelTest::published_ = nullptr;
ModelLoader* TorchModelTest::loader_ = nullptr;

TEST_F(TorchModelTest, ScoresAsItDidWhenItWasPublished) {
  const auto loaded = Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto images = Images(**loaded);
  const std::array<const model::PreparedImage*, 1> batch = {&images[0]};
  const std::array<bool, 1> want_map = {true};
  const auto inferences = (*loaded)->Infer(batch, want_map, 0);
  ASSERT_TRUE(inferences.ok()) << inferences.status();
  ASSERT_THAT(*inferences, SizeIs(1));
  const double score = inferences->at(0).score;
  EXPECT_NEAR(score, (*loaded)->manifest().probe.value().score, 1e-5);

  // The score is the mean of the highest 1 % of the map.
  std::vector<float> map = inferences->at(0).map;
  const int side = (*loaded)->map_side();
  ASSERT_THAT(map, SizeIs(side * side));
  std::sort(map.begin(), map.end(), std::greater<>());
  const int highest = side * side / 100;
  EXPECT_NEAR(std::accumulate(map.begin(), map.begin() + highest, 0.0) / highest, score, 1e-5);
}

TEST_F(TorchModelTest, ABatchGivesEachImageItsOwnAnswer) {
  const auto loaded = Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto images = Images(**loaded);
  std::vector<const model::PreparedImage*> batch;
  for (const model::PreparedImage& image : images) batch.push_back(&image);
  const std::array<bool, 3> want_map = {false, true, true};
  const auto together = (*loaded)->Infer(batch, want_map, 0);
  ASSERT_TRUE(together.ok()) << together.status();
  ASSERT_THAT(*together, SizeIs(3));
  EXPECT_THAT(together->at(0).map, IsEmpty());
  for (size_t i = 0; i < batch.size(); ++i) {
    const std::array<bool, 1> one = {true};
    const auto alone = (*loaded)->Infer({&batch[i], 1}, one, 0);
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_NEAR(together->at(i).score, alone->at(0).score, 1e-5) << i;
    for (size_t k = 0; k < together->at(i).map.size(); ++k) {
      ASSERT_NEAR(together->at(i).map[k], alone->at(0).map[k], 1e-5) << i << " at " << k;
    }
  }
  EXPECT_GT(std::abs(together->at(0).score - together->at(2).score), 1e-3)
      << "the images must differ; otherwise the test shows nothing";
}

TEST_F(TorchModelTest, ABatchAloneHasAllCoresUnlessTheOptionsSayOtherwise) {
  const auto threads_after_one = [this](const ModelLoader& load) {
    const auto loaded = load(directory_);
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    const auto images = Images(**loaded);
    const std::array<const model::PreparedImage*, 1> batch = {&images[0]};
    const std::array<bool, 1> want_map = {false};
    EXPECT_TRUE((*loaded)->Infer(batch, want_map, 0).ok());
    return at::get_num_threads();
  };
  EXPECT_EQ(threads_after_one(MakeTorchModelLoader({}, "cpu", 4)), UsableCores());
  EXPECT_EQ(threads_after_one(*loader_), 1);
}

TEST_F(TorchModelTest, BatchesThatShareTheCoresAnswerAsOneAlone) {
  const auto loaded = MakeTorchModelLoader({}, "cpu", 4)(directory_);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto images = Images(**loaded);
  const std::array<const model::PreparedImage*, 1> batch = {&images[0]};
  const std::array<bool, 1> want_map = {false};
  const double alone = (*loaded)->Infer(batch, want_map, 0).value()[0].score;
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 3; ++worker) {
    threads.emplace_back([&, worker] {
      for (int i = 0; i < 3; ++i) {
        const auto inferences = (*loaded)->Infer(batch, want_map, worker);
        ASSERT_TRUE(inferences.ok()) << inferences.status();
        EXPECT_NEAR(inferences->at(0).score, alone, 1e-5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(TorchModelTest, AProbeThatScoresOtherwiseIsRefusedWithBothScores) {
  const double published = model::ReadManifest(directory_).probe.value().score;
  model::Manifest manifest = model::ReadManifest(directory_);
  manifest.probe->score = published * 1.01;
  WriteText(directory_ / model::kManifestFile, model::ToJson(manifest));
  const absl::Status status = Load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_EQ(GetDetails(status).reason, "PROBE_MISMATCH");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(absl::StrCat(published).substr(0, 5)),
                    HasSubstr(absl::StrCat(published * 1.01).substr(0, 5))));

  manifest.probe->score = published * (1 + 5e-5);
  WriteText(directory_ / model::kManifestFile, model::ToJson(manifest));
  EXPECT_TRUE(Load().ok()) << "rounding is no difference";
}

TEST_F(TorchModelTest, DamagedFilesAreNamed) {
  std::string weights = ReadText(directory_ / model::kModelFile);
  weights.back() ^= 1;
  WriteText(directory_ / model::kModelFile, weights);
  const absl::Status status = Load().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(model::kModelFile));
}

TEST_F(TorchModelTest, MissingFilesAreNamed) {
  fs::remove(directory_ / model::kEncoderFile);
  const absl::Status status = Load().status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(model::kEncoderFile));
}

TEST_F(TorchModelTest, AnImageOfAnotherSizeFailsTheBatchOnly) {
  const auto loaded = Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto images = Images(**loaded);
  const model::PreparedImage small{8, 8, std::vector<uint8_t>(8 * 8 * 3)};
  const std::array<const model::PreparedImage*, 2> batch = {&images[0], &small};
  const std::array<bool, 2> want_map = {false, false};
  const absl::Status status = (*loaded)->Infer(batch, want_map, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("8x8"));
  EXPECT_TRUE((*loaded)->Infer({&batch[0], 1}, absl::MakeSpan(&want_map[0], 1), 0).ok());
}

TEST(TorchDevice, NamesWhatThereIs) {
  EXPECT_EQ(ResolveTorchDevice({.device = "cpu"}).value(), "cpu");
  EXPECT_TRUE(ResolveTorchDevice({.device = "auto"}).ok());
  const absl::Status status = ResolveTorchDevice({.device = "tpu"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("tpu"), HasSubstr("cpu")));
}

}  // namespace
}  // namespace proad::server
