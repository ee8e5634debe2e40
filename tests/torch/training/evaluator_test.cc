#include "model/training/evaluator.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/network/anomaly_map.h"
#include "model/network/checkpoint.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/picture/decode.h"
#include "model/picture/mask.h"
#include "model/spec/metrics.h"
#include "model/training/train_run.h"
#include "tests/support/dataset_files.h"
#include "tests/support/patterns.h"
#include "tests/support/temp_directory.h"
#include "tests/torch/random_model.h"
#include "tests/torch/test_weights.h"

namespace proad::model {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kWidth = 120;  // of the images
constexpr int kHeight = 90;
constexpr double kTolerance = 1e-5;

// The image's defect: a bright rectangle that depends on the seed.
Box DefectOf(uint32_t seed) {
  return {.x = static_cast<int>(10 + seed * 7 % 60), .y = 20, .width = 30, .height = 40};
}

Image Picture(uint32_t seed, bool good) {
  Image image = test::Noise(kWidth, kHeight, seed);
  const Box box = DefectOf(seed);
  for (int y = box.y; !good && y < box.y + box.height; ++y) {
    for (int x = box.x; x < box.x + box.width; ++x) {
      image.pixels[(size_t(y) * kWidth + x) * 3] = 255;
    }
  }
  return image;
}

Image MaskImage(uint32_t seed, int width = kWidth) {
  Image image{.width = width, .height = kHeight};
  image.pixels.resize(size_t{3} * width * kHeight);
  const Box box = DefectOf(seed);
  for (int y = box.y; y < box.y + box.height; ++y) {
    for (int x = box.x; x < box.x + box.width; ++x) {
      // As VisA's masks are: the number of the kind of defect, which is dark.
      std::fill_n(image.pixels.begin() + (std::ptrdiff_t{y} * width + x) * 3, 3, uint8_t{1});
    }
  }
  return image;
}

std::string Png(const Image& image) {
  const std::vector<uint8_t> file = test::EncodeFile(".png", test::ToBgr(image));
  return {file.begin(), file.end()};
}

std::string Name(const std::string& category, const char* folder, uint32_t seed) {
  return category + "/test/" + folder + "/" + std::to_string(seed) + ".png";
}

// "a" has masks and "b" has none.
class EvaluatorTest : public ::testing::Test {
 protected:
  EvaluatorTest() {
    at::set_num_threads(1);
    for (uint32_t seed = 1; seed <= 4; ++seed) {
      AddPicture("a", seed, seed <= 2);
      AddPicture("b", seed + 4, seed <= 3);
    }
    for (const uint32_t seed : {3, 4}) {
      ::proad::testing::WriteFile(root(),
                                  "a/ground_truth/crack/" + std::to_string(seed) + "_mask.png",
                                  Png(MaskImage(seed)));
    }
    ::proad::testing::WriteFile(root(), "a/train/good/1.png", Png(Picture(100, true)));
    ::proad::testing::WriteFile(root(), "b/train/good/1.png", Png(Picture(101, true)));
  }

  std::filesystem::path root() const { return folder_ / "parts"; }

  void AddPicture(const std::string& category, uint32_t seed, bool good) {
    ::proad::testing::WriteFile(root(), Name(category, good ? "good" : "crack", seed),
                                Png(Picture(seed, good)));
  }

  Dataset Open() const { return OpenDataset(root()); }

  // The scores of Detect for all test images in one batch.
  Scored Detect(const Dataset& dataset) const {
    const c10::InferenceMode inference;
    std::vector<at::Tensor> batch;
    for (const Sample& sample : dataset.samples) {
      if (sample.split != Split::kTest) continue;
      const std::string file = ::proad::testing::ReadText(sample.path);
      PreparedImage prepared =
          Prepare(DecodeImage({reinterpret_cast<const uint8_t*>(file.data()), file.size()}),
                  preprocessing_);
      batch.push_back(
          at::from_blob(prepared.pixels.data(), {prepared.height, prepared.width, 3}, at::kByte)
              .clone());
    }
    return model_.Detect(at::stack(batch));
  }

  static std::span<const float> MapOf(const Scored& scored, int64_t i) {
    return {scored.maps.const_data_ptr<float>() + i * kMapSide * kMapSide, kMapSide * kMapSide};
  }

  // The error's words.
  std::string Refused(const EvaluatorOptions& options = {}) {
    try {
      Evaluate(model_, preprocessing_, Open(), options);
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), "dataset");
      return error.reason() + " " + error.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }

  ::proad::testing::TempDirectory folder_;
  // A crop, and sides that differ: what looks at the wrong place shows.
  const Preprocessing preprocessing_ = {
      .resize_height = 64, .resize_width = 96, .crop_height = 56, .crop_width = 84};
  const FrozenProAd model_{testing::RandomModel(testing::SmallConfig()), preprocessing_};
};

TEST_F(EvaluatorTest, ScoresEqualThoseOfServing) {
  const Dataset dataset = Open();
  const Evaluation evaluation = Evaluate(model_, preprocessing_, dataset, {});
  const Scored expected = Detect(dataset);
  ASSERT_THAT(evaluation.samples, SizeIs(8));
  size_t i = 0;
  for (const Sample& sample : dataset.samples) {
    if (sample.split != Split::kTest) continue;
    const ScoredSample& scored = evaluation.samples[i];
    EXPECT_EQ(scored.name, sample.name);
    EXPECT_EQ(scored.category, sample.category);
    EXPECT_EQ(scored.defect, sample.defect);
    EXPECT_NEAR(scored.score, expected.scores[static_cast<int64_t>(i)].item<double>(), kTolerance);
    ++i;
  }
  EXPECT_NE(evaluation.samples[0].score, evaluation.samples[1].score);
}

TEST_F(EvaluatorTest, ImageMetricsAreByCategoryAndAveraged) {
  const Evaluation evaluation = Evaluate(model_, preprocessing_, Open(), {});
  double sum = 0;
  for (const std::string category : {"a", "b"}) {
    std::vector<float> good, defective;
    for (const ScoredSample& sample : evaluation.samples) {
      if (sample.category != category) continue;
      (sample.defect.empty() ? good : defective).push_back(static_cast<float>(sample.score));
    }
    const auto expected = Rank(good, defective).value();
    const auto figure = [&](const char* name) {
      const Metric* metric = evaluation.Find(name, category);
      EXPECT_NE(metric, nullptr) << name;
      EXPECT_EQ(metric->images, 4);
      return metric->value;
    };
    EXPECT_EQ(figure("image_auroc"), expected.auroc);
    EXPECT_EQ(figure("image_ap"), expected.average_precision);
    EXPECT_EQ(figure("image_f1_max"), expected.f1_max);
    sum += expected.auroc;
  }
  ASSERT_NE(evaluation.Find("image_auroc", ""), nullptr);
  EXPECT_DOUBLE_EQ(evaluation.Find("image_auroc", "")->value, sum / 2);
  EXPECT_EQ(evaluation.Find("image_auroc", "")->images, 8);
  EXPECT_EQ(evaluation.metrics[0].name, "image_auroc");
  EXPECT_EQ(evaluation.metrics[0].category, "") << "means come first";
}

TEST_F(EvaluatorTest, PixelMetricsCountImagesWithMasks) {
  // One defective image without a mask, and others with one.
  Dataset dataset = Open();
  const auto unmasked =
      std::find_if(dataset.samples.begin(), dataset.samples.end(),
                   [](const Sample& sample) { return sample.name == Name("a", "crack", 4); });
  ASSERT_NE(unmasked, dataset.samples.end());
  unmasked->mask.reset();

  const std::string png = Png(MaskImage(3));  // the only one left
  PixelMetrics pixels;
  const Scored scored = Detect(dataset);
  int64_t i = 0;
  for (const Sample& sample : dataset.samples) {
    if (sample.split != Split::kTest) continue;
    if (sample.category == "a" && (sample.good || sample.mask)) {
      const std::vector<uint8_t> mask =
          MaskToMap(DecodeMask(std::vector<uint8_t>(png.begin(), png.end())), kMapSide, kMapSide,
                    preprocessing_);  // the only one left
      pixels.Add(MapOf(scored, i), sample.good ? std::span<const uint8_t>() : mask, kMapSide,
                 kMapSide);
    }
    ++i;
  }
  const PixelReport expected = pixels.Finish().value();

  const Evaluation evaluation = Evaluate(model_, preprocessing_, dataset, {});
  const std::map<std::string, double> figures = {{"pixel_auroc", expected.ranking.auroc},
                                                 {"pixel_ap", expected.ranking.average_precision},
                                                 {"pixel_f1_max", expected.ranking.f1_max},
                                                 {"aupro", expected.aupro}};
  for (const auto& [name, value] : figures) {
    EXPECT_EQ(evaluation.Find(name, "b"), nullptr) << name << " of a category without masks";
    for (const char* category : {"a", ""}) {
      const Metric* metric = evaluation.Find(name, category);
      ASSERT_NE(metric, nullptr) << name;
      // Maps of a batch and of one image differ in their last bits.
      EXPECT_NEAR(metric->value, value, 1e-4) << name;
      EXPECT_EQ(metric->images, 3) << name;
    }
  }
  EXPECT_EQ(evaluation.Find("image_auroc", "a")->images, 4);

  const Evaluation images = Evaluate(model_, preprocessing_, dataset, {.pixels = false});
  EXPECT_EQ(images.Find("pixel_auroc", ""), nullptr);
  EXPECT_EQ(images.samples, evaluation.samples);
}

TEST_F(EvaluatorTest, OneKindOfImagesHasScoresAndNoMetrics) {
  Dataset dataset = Open();
  std::erase_if(dataset.samples, [](const Sample& sample) { return !sample.good; });
  const Evaluation evaluation = Evaluate(model_, preprocessing_, dataset, {});
  EXPECT_THAT(evaluation.samples, SizeIs(5));
  EXPECT_THAT(evaluation.metrics, IsEmpty());

  std::erase_if(dataset.samples, [](const Sample& sample) { return sample.split == Split::kTest; });
  EXPECT_EQ(Evaluate(model_, preprocessing_, dataset, {}), Evaluation{});
}

TEST_F(EvaluatorTest, NamesOrSkipsAnUnreadableImage) {
  const std::string png = Png(Picture(3, false));
  for (const auto& [bytes, words] : std::vector<std::pair<std::string, std::string>>{
           {"", "empty"}, {png.substr(0, png.size() / 2), ""}, {"no image", ""}}) {
    ::proad::testing::WriteFile(root(), Name("a", "crack", 3), bytes);
    EXPECT_THAT(Refused(), AllOf(HasSubstr("UNREADABLE_IMAGE"), HasSubstr("a/test/crack/3.png"),
                                 HasSubstr(words)));
    std::vector<std::string> skipped;
    int64_t last = 0;
    const Evaluation evaluation = Evaluate(
        model_, preprocessing_, Open(), {.skip_unreadable = true},
        [&](int64_t done) {
          last = done;
          return true;
        },
        &skipped);
    EXPECT_THAT(skipped, ElementsAre(Name("a", "crack", 3)));
    EXPECT_THAT(evaluation.samples, SizeIs(7));
    EXPECT_EQ(evaluation.Find("image_auroc", "a")->images, 3);
    EXPECT_EQ(last, 8);
  }
}

TEST_F(EvaluatorTest, NamesOrSkipsAMissingFile) {
  const Dataset dataset = Open();
  std::filesystem::remove(root() / Name("b", "good", 5));
  try {
    Evaluate(model_, preprocessing_, dataset, {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("b/test/good/5.png"));
  }
  std::vector<std::string> skipped;
  Evaluate(model_, preprocessing_, dataset, {.skip_unreadable = true}, {}, &skipped);
  EXPECT_THAT(skipped, ElementsAre(Name("b", "good", 5)));
}

TEST_F(EvaluatorTest, NamesABadMaskIfPixelsCount) {
  const std::string mask = "a/ground_truth/crack/3_mask.png";
  ::proad::testing::WriteFile(root(), mask, Png(MaskImage(3, kWidth + 1)));
  EXPECT_THAT(Refused(), AllOf(HasSubstr("MASK_SIZE_MISMATCH"), HasSubstr(mask),
                               HasSubstr("121x90"), HasSubstr("120x90")));
  ::proad::testing::WriteFile(root(), mask, "no image");
  EXPECT_THAT(Refused(), AllOf(HasSubstr("UNREADABLE_IMAGE"), HasSubstr(mask)));
  EXPECT_THAT(Evaluate(model_, preprocessing_, Open(), {.pixels = false}).samples, SizeIs(8));
  std::vector<std::string> skipped;
  Evaluate(model_, preprocessing_, Open(), {.skip_unreadable = true}, {}, &skipped);
  EXPECT_THAT(skipped, ElementsAre(Name("a", "crack", 3)));
}

TEST_F(EvaluatorTest, LimitsHold) {
  EvaluatorOptions options;
  options.limits.max_side = kWidth - 1;
  EXPECT_THAT(Refused(options), AllOf(HasSubstr("UNREADABLE_IMAGE"), HasSubstr("119")));
}

TEST_F(EvaluatorTest, StopsOnRequest) {
  std::vector<int64_t> told;
  const EvaluationProgress progress = [&](int64_t done) {
    told.push_back(done);
    return done < 3;
  };
  EXPECT_THROW(Evaluate(model_, preprocessing_, Open(), {}, progress), Interrupted);
  EXPECT_THAT(told, ElementsAre(1, 2, 3));
  told.clear();
  EXPECT_THROW(ScoreSamples(model_, preprocessing_, Open().samples, {}, progress), Interrupted);
  EXPECT_THAT(told, ElementsAre(1, 2, 3));
}

TEST_F(EvaluatorTest, NonFiniteScoreIsAnErrorThatNamesTheImage) {
  const ProAd broken = testing::RandomModel(testing::SmallConfig());
  {
    const torch::NoGradGuard no_grad;
    broken->named_parameters()["prototypes"].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  const FrozenProAd model(broken, preprocessing_);
  try {
    Evaluate(model, preprocessing_, Open(), {.skip_unreadable = true});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "scores");
    EXPECT_EQ(error.reason(), "SCORE_NOT_FINITE");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("a/test/crack/3.png"), HasSubstr("nan")));
  }
}

TEST_F(EvaluatorTest, ReturnsMedianAndMaximumOfMaps) {
  Dataset dataset = Open();
  std::erase_if(dataset.samples, [](const Sample& s) { return s.split != Split::kTest; });
  std::reverse(dataset.samples.begin(), dataset.samples.end());
  const std::vector<MapFigures> figures = ScoreSamples(model_, preprocessing_, dataset.samples, {});
  const Scored expected = Detect(dataset);
  ASSERT_THAT(figures, SizeIs(8));
  for (size_t i = 0; i < figures.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const std::span<const float> map = MapOf(expected, row);
    std::vector<float> sorted(map.begin(), map.end());
    std::sort(sorted.begin(), sorted.end());
    EXPECT_NEAR(figures[i].score, expected.scores[row].item<double>(), kTolerance);
    EXPECT_NEAR(figures[i].median, sorted[sorted.size() / 2], kTolerance);
    EXPECT_NEAR(figures[i].maximum, sorted.back(), kTolerance);
  }
}

TEST_F(EvaluatorTest, EvaluatesAVersionFromItsDirectory) {
  ProAd model(SmallConfig());
  LoadEncoder(*model->encoder, ImportEncoder(ToFile(OfficialTensors()), SmallConfig().encoder));
  model->eval();
  const std::filesystem::path version = folder_ / "store/small/1";
  std::filesystem::create_directories(folder_ / "store");
  SaveCheckpoint(model, SmallManifest(), ProbeImage(), version);
  const FrozenProAd frozen(model, SmallPreprocessing());
  EXPECT_EQ(EvaluateVersion(version, "cpu", Open(), {}),
            Evaluate(frozen, SmallPreprocessing(), Open(), {}));
  EXPECT_THROW(EvaluateVersion(folder_ / "store/small/2", "cpu", Open(), {}), FileError);
}

}  // namespace
}  // namespace proad::model
