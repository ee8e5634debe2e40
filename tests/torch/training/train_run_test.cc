#include "model/training/train_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "model/files/error.h"
#include "model/network/checkpoint.h"
#include "model/spec/version_directory.h"
#include "tests/support/dataset_files.h"
#include "tests/support/paths.h"

namespace proad::model {
namespace {

using proad::testing::ReadText;
using proad::testing::TempDirectory;
using proad::testing::WriteFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

// A chequer board, each of another phase and tint; a defective one has a disc on it.
void WriteBoard(const fs::path& path, int number, bool defective) {
  cv::Mat3b board(64, 64);
  for (int y = 0; y < board.rows; ++y) {
    for (int x = 0; x < board.cols; ++x) {
      const bool dark = ((x + number) / 8 + y / 8) % 2 == 0;
      const auto shade = static_cast<uint8_t>((dark ? 60 : 180) + number % 5);
      board(y, x) = cv::Vec3b(shade, shade, static_cast<uint8_t>(shade + 20));
    }
  }
  if (defective) cv::circle(board, {30, 34}, 14, cv::Scalar(10, 200, 30), cv::FILLED);
  fs::create_directories(path.parent_path());
  cv::imwrite(path, board);
}

void WriteMask(const fs::path& path) {
  cv::Mat1b mask(64, 64, uint8_t{0});
  cv::circle(mask, {30, 34}, 14, cv::Scalar(255), cv::FILLED);
  fs::create_directories(path.parent_path());
  cv::imwrite(path, mask);
}

// Remembers what it was told, and may ask the run to stop.
class Watcher : public TrainObserver {
 public:
  void OnProgress(const TrainProgress& progress) override {
    if (phases.empty() || phases.back() != progress.phase) phases.push_back(progress.phase);
    if (progress.step > 0 && (losses.empty() || progress.step > last.step)) {
      losses.push_back(progress.loss);
    }
    last = progress;
    ++reports;
    if (on_progress) on_progress(progress);
  }
  bool StopRequested() override { return stop && stop(last); }

  std::function<bool(const TrainProgress&)> stop;
  std::function<void(const TrainProgress&)> on_progress;
  std::vector<TrainPhase> phases;
  std::vector<double> losses;
  TrainProgress last;
  int reports = 0;
};

struct Killed {};  // as sudden as a test in one process can be: nothing is saved on its way

class TrainRunTest : public ::testing::Test {
 protected:
  TrainRunTest() {
    for (const char* category : {"ash", "oak"}) {
      const fs::path root = directory_ / "data" / category;
      for (int i = 0; i < 10; ++i) WriteBoard(root / "train/good" / Png(i), i, false);
      for (int i = 0; i < 4; ++i) WriteBoard(root / "test/good" / Png(i), 20 + i, false);
      for (int i = 0; i < 4; ++i) {
        WriteBoard(root / "test/disc" / Png(i), 30 + i, true);
        WriteMask(root / "ground_truth/disc" / (std::to_string(i) + "_mask.png"));
      }
    }
    spec_.model_name = "boards";
    spec_.dataset = directory_ / "data";
    spec_.preset = "proad-tiny";
    spec_.encoder_file = proad::testing::SourceFolder() / "model/weights/encoder-tiny.safetensors";
    spec_.recipe.steps = 12;
    spec_.recipe.batch_size = 4;
    spec_.recipe.warmup_steps = 2;
    spec_.recipe.input_side = 56;
    spec_.recipe.decoder_layers = 2;
    spec_.recipe.seed = 3;
    spec_.recipe.principal_start = true;
    context_ = ContextOf("job-1");
  }

  static std::string Png(int number) { return std::to_string(number) + ".png"; }

  TrainContext ContextOf(const std::string& job) const {
    TrainContext context;
    context.directory = directory_ / job;
    context.store = directory_ / "store";
    context.job_id = job;
    context.code_version = "test";
    context.checkpoint_seconds = 0;
    return context;
  }

  TrainOutcome RunToEnd() {
    Watcher watcher;
    return Train(spec_, context_, watcher);
  }

  std::string ModelBytes(const std::string& version) const {
    const std::string bytes =
        ReadText(directory_ / "store" / "boards" / version / "model.safetensors");
    EXPECT_FALSE(bytes.empty());
    return bytes;
  }

  std::string Refusal() {
    try {
      RunToEnd();
    } catch (const InvalidInput& error) {
      EXPECT_THAT(ListNames(directory_ / "store" / "boards"), ElementsAre());
      return error.reason() + ": " + error.what();
    }
    return "accepted";
  }

  TempDirectory directory_;
  TrainSpec spec_;
  TrainContext context_;
};

TEST_F(TrainRunTest, PublishesAVersionWithMetrics) {
  Watcher watcher;
  const TrainOutcome outcome = Train(spec_, context_, watcher);
  EXPECT_THAT(watcher.phases,
              ElementsAre(TrainPhase::kPreparing, TrainPhase::kEncoding, TrainPhase::kTraining,
                          TrainPhase::kEvaluating, TrainPhase::kPublishing));
  EXPECT_EQ(watcher.losses.size(), 12u);
  EXPECT_EQ(watcher.last.train_images, 16) << "two of ten are held out, of each category";
  EXPECT_EQ(watcher.last.device, "cpu");

  EXPECT_EQ(outcome.version, "1");
  EXPECT_EQ(outcome.steps, 12);
  ASSERT_TRUE(outcome.evaluation.has_value());
  EXPECT_EQ(outcome.evaluation->samples.size(), 16u);
  ASSERT_NE(outcome.evaluation->Find("image_auroc", "oak"), nullptr);
  EXPECT_EQ(outcome.calibration.size(), 2u);

  const Checkpoint checkpoint = LoadCheckpoint(directory_ / "store/boards/1");
  const Manifest& manifest = checkpoint.manifest;
  EXPECT_EQ(manifest.hash, outcome.hash);
  EXPECT_EQ(manifest.parent_job, "job-1");
  EXPECT_EQ(manifest.categories, outcome.calibration);
  EXPECT_EQ(manifest.data_fingerprint, outcome.data_fingerprint);
  ASSERT_TRUE(manifest.training.has_value());
  EXPECT_EQ(manifest.training->recipe, spec_.recipe);
  EXPECT_EQ(manifest.training->steps, 12);
  EXPECT_EQ(manifest.metrics.at("image_auroc/oak"),
            outcome.evaluation->Find("image_auroc", "oak")->value);
  EXPECT_EQ(manifest.metrics.at("aupro"), outcome.evaluation->Find("aupro", "")->value);
}

TEST_F(TrainRunTest, StoppedRunEndsWithTheSameBytes) {
  RunToEnd();
  const std::string bytes = ModelBytes("1");
  context_ = ContextOf("job-2");
  int stops = 0;
  const auto stop_at = [&](TrainPhase phase, int64_t step) {
    Watcher watcher;
    watcher.stop = [=](const TrainProgress& p) { return p.phase == phase && p.step >= step; };
    EXPECT_THROW(Train(spec_, context_, watcher), Interrupted);
    EXPECT_THAT(ListNames(directory_ / "store/boards"), ElementsAre("1"));
    ++stops;
  };
  stop_at(TrainPhase::kPreparing, 0);
  stop_at(TrainPhase::kEncoding, 0);
  stop_at(TrainPhase::kTraining, 5);
  stop_at(TrainPhase::kTraining, 8);
  stop_at(TrainPhase::kEvaluating, 0);
  stop_at(TrainPhase::kPublishing, 0);
  EXPECT_EQ(RunToEnd().version, "2");
  EXPECT_EQ(ModelBytes("2"), bytes);
}

TEST_F(TrainRunTest, KilledRunEndsWithTheSameBytesAndPublishesOnce) {
  Watcher undisturbed;
  Train(spec_, context_, undisturbed);
  const std::string bytes = ModelBytes("1");
  size_t versions = 1;
  for (int report = 1; report < undisturbed.reports; report += 13) {
    context_ = ContextOf("killed-at-" + std::to_string(report));
    Watcher watcher;
    watcher.on_progress = [&](const TrainProgress&) {
      if (watcher.reports == report) throw Killed();
    };
    EXPECT_THROW(Train(spec_, context_, watcher), Killed) << report;
    const TrainOutcome outcome = RunToEnd();
    EXPECT_EQ(ModelBytes(outcome.version), bytes) << report;
    EXPECT_EQ(ListNames(directory_ / "store/boards").size(), ++versions) << report;
  }
  const TrainOutcome again = RunToEnd();
  EXPECT_EQ(again.version, std::to_string(versions)) << "it was published already";
  EXPECT_EQ(ListNames(directory_ / "store/boards").size(), versions);
}

TEST_F(TrainRunTest, GateEvaluatesTheActiveVersionOnTheSameImages) {
  spec_.gate = Gate{};
  spec_.gate->minimums = {{"image_auroc", "oak", 0.0}};
  EXPECT_TRUE(RunToEnd().gate->passed);

  context_ = ContextOf("job-2");
  spec_.gate->minimums = {};
  spec_.gate->not_worse_than_active = true;
  spec_.active_version = directory_ / "store/boards/1";
  const TrainOutcome equal = RunToEnd();
  EXPECT_TRUE(equal.gate->passed) << equal.gate->reason;
  EXPECT_EQ(equal.compared_with, "boards@1");
  EXPECT_EQ(equal.compared_evaluation->metrics, equal.evaluation->metrics) << "the same weights";

  context_ = ContextOf("job-3");
  spec_.gate->minimums = {{"image_auroc", "", 1.01}};
  const TrainOutcome refused = RunToEnd();
  EXPECT_FALSE(refused.gate->passed);
  EXPECT_THAT(refused.gate->reason, HasSubstr("image_auroc"));
  EXPECT_EQ(refused.version, "3") << "published all the same";
}

TEST_F(TrainRunTest, StartsFromTheWeightsOfAVersion) {
  RunToEnd();
  context_ = ContextOf("job-2");
  spec_.init_from = directory_ / "store/boards/1";
  spec_.recipe.seed = 4;
  Watcher watcher;
  Train(spec_, context_, watcher);
  Watcher fresh;
  spec_.init_from.clear();
  context_ = ContextOf("job-3");
  Train(spec_, context_, fresh);
  EXPECT_LT(watcher.losses.front(), fresh.losses.front());
  EXPECT_EQ(ReadManifest(directory_ / "store/boards/2").training->init_from, "boards@1");

  context_ = ContextOf("job-4");
  spec_.init_from = directory_ / "store/boards/1";
  spec_.recipe.decoder_layers = 4;
  Watcher other;
  EXPECT_THROW(Train(spec_, context_, other), InvalidInput);
}

TEST_F(TrainRunTest, WithoutATestSplitPublishesWithoutMetrics) {
  fs::remove_all(directory_ / "data/ash/test");
  fs::remove_all(directory_ / "data/oak/test");
  fs::remove_all(directory_ / "data/ash/ground_truth");
  fs::remove_all(directory_ / "data/oak/ground_truth");
  spec_.gate = Gate{{{"image_auroc", "", 0.5}}, false, 0};
  const TrainOutcome outcome = RunToEnd();
  EXPECT_FALSE(outcome.evaluation.has_value());
  EXPECT_FALSE(outcome.gate->passed) << "nothing says that it is good";
  EXPECT_EQ(outcome.calibration.size(), 2u);
}

TEST_F(TrainRunTest, UnreadableImagesFailTheRunOrAreCounted) {
  WriteFile(directory_ / "data", "oak/train/good/empty ünd spaced.png", "");
  WriteFile(directory_ / "data", "ash/train/good/text.png", "no image");
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("UNREADABLE_IMAGE"), HasSubstr("spaced.png"),
                               HasSubstr("text.png"), HasSubstr("skip_unreadable")));
  spec_.skip_unreadable = true;
  EXPECT_THAT(RunToEnd().skipped,
              ElementsAre("ash/train/good/text.png", "oak/train/good/empty ünd spaced.png"));
}

TEST_F(TrainRunTest, RefusesToContinueWithOtherImages) {
  Watcher watcher;
  watcher.stop = [](const TrainProgress& p) { return p.step >= 4; };
  EXPECT_THROW(Train(spec_, context_, watcher), Interrupted);
  WriteBoard(directory_ / "data/oak/train/good/3.png", 77, false);
  EXPECT_THAT(Refusal(), HasSubstr("DATASET_CHANGED"));
}

// Flips bytes in the middle of a file: the header stays valid, the pixels do not.
void Damage(const fs::path& path) {
  std::string bytes = ReadText(path);
  for (size_t i = bytes.size() / 2; i < bytes.size() / 2 + 8; ++i) bytes[i] ^= '\xff';
  WriteFile(path.parent_path(), path.filename(), bytes);
}

TEST_F(TrainRunTest, DecodesTestImagesAndMasksBeforeTheFirstStep) {
  const fs::path mask = directory_ / "data/ash/ground_truth/disc/2_mask.png";
  for (const fs::path& file : {directory_ / "data/oak/test/disc/1.png", mask}) {
    const std::string whole = ReadText(file);
    Damage(file);
    Watcher watcher;
    try {
      Train(spec_, context_, watcher);
      FAIL() << "accepted";
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), file == mask ? "MASK_INVALID" : "UNREADABLE_IMAGE");
      EXPECT_THAT(error.what(), HasSubstr(file.filename()));
    }
    EXPECT_EQ(watcher.last.step, 0);
    WriteFile(file.parent_path(), file.filename(), whole);
  }
}

TEST_F(TrainRunTest, SkipsADamagedTestImageOnce) {
  Damage(directory_ / "data/oak/test/disc/1.png");
  spec_.skip_unreadable = true;
  const TrainOutcome outcome = RunToEnd();
  EXPECT_THAT(outcome.skipped, ElementsAre("oak/test/disc/1.png"));
  EXPECT_EQ(outcome.evaluation->samples.size(), 15u);
}

// A test image that becomes unreadable during the training fails the evaluation. The next run
// evaluates the same weights again, and accepts a repaired file with other bytes.
TEST_F(TrainRunTest, RepeatsTheEvaluationAloneAfterARepair) {
  const fs::path file = directory_ / "data/oak/test/disc/1.png";
  Watcher damaging;
  damaging.on_progress = [&file](const TrainProgress& p) {
    if (p.step == 6) WriteFile(file.parent_path(), file.filename(), "no image");
  };
  EXPECT_THROW(Train(spec_, context_, damaging), UnreadableImage);
  EXPECT_EQ(damaging.last.phase, TrainPhase::kEvaluating);

  Watcher unrepaired;
  EXPECT_THROW(Train(spec_, context_, unrepaired), UnreadableImage);
  EXPECT_THAT(unrepaired.phases, ElementsAre(TrainPhase::kPreparing));

  WriteBoard(file, 90, true);
  Watcher repaired;
  const TrainOutcome outcome = Train(spec_, context_, repaired);
  EXPECT_THAT(repaired.phases, ElementsAre(TrainPhase::kPreparing, TrainPhase::kEvaluating,
                                           TrainPhase::kPublishing));
  EXPECT_EQ(repaired.last.step, 12);
  EXPECT_EQ(outcome.steps, 12);
  EXPECT_EQ(outcome.train_images, 16);
  EXPECT_EQ(outcome.evaluation->samples.size(), 16u);

  context_ = ContextOf("job-2");  // the same images and seed, without an interruption
  const TrainOutcome whole = RunToEnd();
  EXPECT_EQ(outcome.evaluation, whole.evaluation);
  EXPECT_EQ(outcome.final_loss, whole.final_loss);
}

TEST_F(TrainRunTest, DoesNotEvaluateWeightsOfOtherTrainingImages) {
  const fs::path file = directory_ / "data/oak/test/disc/1.png";
  Watcher damaging;
  damaging.on_progress = [&file](const TrainProgress& p) {
    if (p.step == 6) WriteFile(file.parent_path(), file.filename(), "no image");
  };
  EXPECT_THROW(Train(spec_, context_, damaging), UnreadableImage);
  WriteBoard(file, 90, true);
  WriteBoard(directory_ / "data/oak/train/good/3.png", 77, false);
  EXPECT_THAT(Refusal(), HasSubstr("DATASET_CHANGED"));
}

TEST_F(TrainRunTest, TellsMasksThatContradictTheirImagesAndRefusesThemForAPixelGate) {
  const fs::path mask = directory_ / "data/oak/ground_truth/disc/1_mask.png";
  cv::imwrite(mask, cv::Mat1b(64, 64, uint8_t{0}));
  spec_.gate = Gate{{{"aupro", "", 0.1}}, false, 0};
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("MASK_CONTRADICTS_LABEL"), HasSubstr("1_mask.png")));
  spec_.gate = Gate{{{"image_auroc", "", 0.1}}, false, 0};
  const TrainOutcome outcome = RunToEnd();
  ASSERT_TRUE(outcome.warnings.has_value());
  EXPECT_THAT(*outcome.warnings,
              ElementsAre(AllOf(HasSubstr("mark no pixel"), HasSubstr("1_mask.png"))));
}

TEST_F(TrainRunTest, RefusesABatchLargerThanTheDataset) {
  spec_.recipe.batch_size = 64;
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("TOO_FEW_IMAGES"), HasSubstr("16")));
}

}  // namespace
}  // namespace proad::model
