#include "server/batching/detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/picture/decode.h"
#include "model/picture/heatmap.h"
#include "model/picture/image.h"
#include "server/batching/output_size.h"
#include "server/util/status_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/pictures.h"
#include "tests/support/pipeline.h"
#include "tests/support/sync.h"
#include "tests/support/tagged_tiff.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// One query and the answers that it got; keeps the picture's bytes.
class Asked {
 public:
  Asked(Pipeline& pipeline, uint32_t marker) : Asked(pipeline, MarkedBmp(marker)) {}
  Asked(Pipeline& pipeline, std::string file) : pipeline_(pipeline), file_(std::move(file)) {
    query.image = Bytes(file_);
    query.cancelled = std::make_shared<std::atomic<bool>>(false);
  }

  Asked& Send() {
    pipeline_.detector.Detect(query, [this](absl::StatusOr<Detection> answer) {
      answers_.Add(std::make_shared<absl::StatusOr<Detection>>(std::move(answer)));
    });
    return *this;
  }
  void Cancel() {
    query.cancelled->store(true);
    pipeline_.detector.AnswerCancelled();
  }
  // Lives as long as this object.
  absl::StatusOr<Detection>& Answer() { return *answers_.Await(1).front(); }
  size_t answers() { return answers_.size(); }

  DetectQuery query;

 private:
  Pipeline& pipeline_;
  const std::string file_;
  Collected<std::shared_ptr<absl::StatusOr<Detection>>> answers_;
};

void ExpectRefused(const absl::StatusOr<Detection>& answer, absl::StatusCode code,
                   const std::string& reason, const std::string& words) {
  EXPECT_EQ(answer.status().code(), code) << answer.status();
  EXPECT_EQ(GetDetails(answer.status()).reason, reason);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr(words));
}

TEST(DetectorTest, AnswersWithTheScoreOfItsOwnImage) {
  Pipeline pipeline;
  std::vector<std::unique_ptr<Asked>> asked;
  for (uint32_t marker = 1; marker <= 50; ++marker) {
    asked.push_back(std::make_unique<Asked>(pipeline, marker * 1000));
    asked.back()->Send();
  }
  for (uint32_t marker = 1; marker <= 50; ++marker) {
    const auto& answer = asked[marker - 1]->Answer();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->score, FakeScore(marker * 1000));
    EXPECT_EQ(answer->model->manifest().name, "fake");
  }
}

TEST(DetectorTest, ReportsSizeAreaTimesAndBatch) {
  Pipeline pipeline;
  Asked asked(pipeline, MarkedBmp(5, 30, 20));
  const auto& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->width, 30);
  EXPECT_EQ(answer->height, 20);
  EXPECT_EQ(answer->inspected_area, (model::Box{0, 0, 30, 20}));
  EXPECT_EQ(answer->times.batch_size, 1);
  EXPECT_GT(answer->times.preprocess, absl::ZeroDuration());
  EXPECT_FALSE(answer->heatmap.has_value());
  EXPECT_FALSE(answer->overlay.has_value());
}

std::shared_ptr<FakeModel> ModelThatReads(const model::ImageReading& reading) {
  model::Manifest manifest = FakeManifest();
  manifest.preprocessing.reading = reading;
  return std::make_shared<FakeModel>(manifest);
}

// The version decides unless the server is configured for another way.
TEST(DetectorTest, ReadsAnImageAsItsVersionWasTrained) {
  using model::Orientation;
  struct Case {
    ReadingRule rule;
    model::ImageReading reading;
    int tag, bits;
    std::string refusal;  // or "": accepted
    bool turned;
  };
  const model::ImageReading ignore{}, apply{.orientation = Orientation::kApply}, ten{.bits = 10};
  const std::vector<Case> cases = {
      {{}, ignore, 6, 8, "", false},
      {{}, apply, 6, 8, "", true},
      {{}, apply, 1, 8, "", false},
      {{.orientation = Orientation::kApply}, apply, 6, 8, "", true},
      {{.orientation = Orientation::kApply}, ignore, 6, 8, "ORIENTATION_MISMATCH", false},
      {{.orientation = Orientation::kApply}, ignore, 1, 8, "", false},
      {{.orientation = Orientation::kIgnore}, apply, 3, 8, "ORIENTATION_MISMATCH", false},
      {{.orientation = Orientation::kIgnore}, ignore, 6, 8, "", false},
      {{.bits = 16}, ten, 1, 16, "BITS_MISMATCH", false},
      {{.bits = 16}, ten, 1, 8, "", false},
      {{.bits = 10}, ten, 1, 16, "IMAGE_BITS_EXCEEDED", false},
      {{}, ignore, 1, 16, "", false}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& one = cases[i];
    PipelineOptions options;
    options.detector.reading = one.rule;
    Pipeline pipeline(options, {ModelThatReads(one.reading)});
    Asked asked(pipeline, proad::testing::TaggedTiff(0x405060, 30, 20, one.tag, one.bits));
    asked.query.outputs = {
        .heatmap = model::HeatmapEncoding::kFloat32, .overlay = true, .grid = Grid::kOriginal};
    const absl::StatusOr<Detection>& answer = asked.Send().Answer();
    if (!one.refusal.empty()) {
      ExpectRefused(answer, absl::StatusCode::kInvalidArgument, one.refusal, "the image");
      continue;
    }
    ASSERT_TRUE(answer.ok()) << i << " " << answer.status();
    EXPECT_EQ(answer->score, FakeScore(0x405060)) << i;
    EXPECT_EQ(answer->width, one.turned ? 20 : 30) << i;
    EXPECT_EQ(answer->height, one.turned ? 30 : 20) << i;
    EXPECT_EQ(answer->heatmap->width, answer->width) << i;
    EXPECT_EQ(answer->overlay->height, answer->height) << i;
  }
}

// A random image: neither its heatmap nor its overlay compresses.
std::vector<uint8_t> NoisePixels(int width, int height) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width * height * 3));
  std::minstd_rand random(7);
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random() >> 16);
  return pixels;
}

TEST(DetectorTest, AnAnswerHoldsItsBytesUntilItIsWritten) {
  PipelineOptions options;
  options.output.max_bytes = 200'000;
  Pipeline pipeline(options);
  const std::vector<uint8_t> pixels = NoisePixels(200, 150);
  const auto ask = [&](std::unique_ptr<Asked>& asked) {
    asked = std::make_unique<Asked>(pipeline, 0);
    asked->query.image = model::FrameView{200, 150, 0, model::PixelFormat::kRgb8, pixels};
    asked->query.outputs = {.heatmap = model::HeatmapEncoding::kFloat32, .grid = Grid::kOriginal};
    asked->Send();
  };
  std::unique_ptr<Asked> first, second, third;
  ask(first);
  absl::StatusOr<Detection>& unread = first->Answer();
  ASSERT_TRUE(unread.ok()) << unread.status();
  EXPECT_EQ(pipeline.admission.in_flight(), 0);
  EXPECT_EQ(pipeline.output_budget.bytes(), 120'000) << "200 x 150 pixels of 4 bytes";
  ask(second);
  ExpectRefused(second->Answer(), absl::StatusCode::kResourceExhausted, "OUTPUT_FULL",
                "admission.max_output_bytes");
  EXPECT_TRUE(Asked(pipeline, 5).Send().Answer().ok()) << "an answer without maps needs no budget";
  unread = absl::UnknownError("written");
  EXPECT_EQ(pipeline.output_budget.bytes(), 0);
  ask(third);
  EXPECT_TRUE(third->Answer().ok());
}

TEST(DetectorTest, AnAnswerThatIsSmallerThanItsBoundReturnsTheRest) {
  Pipeline pipeline;
  const std::vector<uint8_t> pixels = NoisePixels(200, 150);
  Asked asked(pipeline, 0);
  asked.query.image = model::FrameView{200, 150, 0, model::PixelFormat::kRgb8, pixels};
  asked.query.outputs = {
      .heatmap = model::HeatmapEncoding::kPng16, .overlay = true, .grid = Grid::kOriginal};
  const absl::StatusOr<Detection>& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto bytes =
      static_cast<int64_t>(answer->heatmap->data.size() + answer->overlay->png.size());
  EXPECT_EQ(pipeline.output_budget.bytes(), bytes);
  EXPECT_LE(bytes, MaxOutputBytes(asked.query.outputs, 200, 150)) << "the bound holds for noise";
}

TEST(DetectorTest, TooManyOutputPixelsAreRefusedBeforeTheImageIsInspected) {
  PipelineOptions options;
  options.detector.max_output_pixels = 20 * 20;
  Pipeline pipeline(options);
  Asked large(pipeline, MarkedBmp(5, 21, 20));
  large.query.outputs = {.overlay = true, .grid = Grid::kOriginal};
  ExpectRefused(large.Send().Answer(), absl::StatusCode::kInvalidArgument, "OUTPUT_TOO_LARGE",
                "21 x 20 pixels; at most 400 are possible (detect.max_output_pixels)");
  Asked model_grid(pipeline, MarkedBmp(5, 21, 20));
  model_grid.query.outputs = {.overlay = true, .grid = Grid::kModel};
  EXPECT_TRUE(model_grid.Send().Answer().ok());
  Asked fits(pipeline, MarkedBmp(5, 20, 20));
  fits.query.outputs = {.overlay = true, .grid = Grid::kOriginal};
  EXPECT_TRUE(fits.Send().Answer().ok());
  EXPECT_EQ(pipeline.model->Seen().size(), 2u);
}

// A chunk with a wrong checksum that does not concern the pixels.
TEST(DetectorTest, CountsWarningsOfCodecs) {
  Pipeline pipeline;
  const model::Image image = MarkedImage(7, 9, 7);
  std::string png = model::RenderOverlay(image, std::vector<float>(9 * 7), {}, {0, 0, 9, 7});
  png.insert(33, std::string("\0\0\0\4gAMA\0\0\xB1\x8F\1\2\3\4", 16));  // behind the header
  Asked asked(pipeline, png);
  const auto& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(pipeline.metrics.codec_warnings.Value(), 1);
}

TEST(DetectorTest, InspectsFrames) {
  Pipeline pipeline;
  const std::vector<uint8_t> pixels = MarkedImage(0x010203, 9, 7).pixels;
  Asked asked(pipeline, 0);
  asked.query.image = model::FrameView{9, 7, 0, model::PixelFormat::kRgb8, pixels};
  const auto& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->score, FakeScore(0x010203));
}

TEST(DetectorTest, VerdictComesFromTheThreshold) {
  model::Manifest manifest = FakeManifest();
  manifest.categories["pcb"] = model::Calibration{FakeScore(500), 0.01, 10};
  Pipeline pipeline({}, {std::make_shared<FakeModel>(manifest)});
  struct Case {
    uint32_t marker;
    std::string category;
    std::optional<double> requested;
    Verdict verdict;
    ThresholdSource source;
  };
  const std::vector<Case> cases = {
      {499, "pcb", {}, Verdict::kNormal, ThresholdSource::kCategory},
      {500, "pcb", {}, Verdict::kAnomalous, ThresholdSource::kCategory},
      {500, "pcb", FakeScore(501), Verdict::kNormal, ThresholdSource::kRequest},
      {500, "", {}, Verdict::kUndecided, ThresholdSource::kNone},
  };
  for (const Case& c : cases) {
    Asked asked(pipeline, c.marker);
    asked.query.category = c.category;
    asked.query.threshold = c.requested;
    const auto& answer = asked.Send().Answer();
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->verdict, c.verdict) << c.marker << " " << c.category;
    EXPECT_EQ(answer->threshold.source, c.source);
  }
}

TEST(DetectorTest, ADamagedImageIsInvalidArgument) {
  Pipeline pipeline;
  struct Case {
    std::string file, reason, words;
  };
  for (const Case& c :
       std::vector<Case>{{"", "IMAGE_EMPTY", "no bytes"},
                         {"no picture", "IMAGE_FORMAT_UNSUPPORTED", "PNG"},
                         {MarkedBmp(1).substr(0, 100), "IMAGE_DECODE_FAILED", ""},
                         {BombPng(60'000, 60'000, 40'000), "IMAGE_TOO_LARGE", "60000"}}) {
    Asked asked(pipeline, c.file);
    const auto& answer = asked.Send().Answer();
    ExpectRefused(answer, absl::StatusCode::kInvalidArgument, c.reason, c.words);
    EXPECT_EQ(GetDetails(answer.status()).field, "encoded");
  }
  EXPECT_TRUE(pipeline.model->Seen().empty());
  EXPECT_EQ(pipeline.admission.in_flight(), 0);
}

TEST(DetectorTest, UnknownModelsAreNotFound) {
  Pipeline pipeline;
  Asked asked(pipeline, 1);
  asked.query.model = "other";
  ExpectRefused(asked.Send().Answer(), absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", "fake");
  EXPECT_EQ(pipeline.metrics.rejected.no_model.Value(), 1);
  EXPECT_EQ(pipeline.admission.in_flight(), 0);
}

TEST(DetectorTest, LateAndCancelledImagesAreNotDecoded) {
  Pipeline pipeline;
  Asked late(pipeline, "no picture");
  late.query.deadline = absl::InfinitePast();
  ExpectRefused(late.Send().Answer(), absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXPIRED",
                "preprocessing thread");
  Asked unwanted(pipeline, "no picture");
  unwanted.query.cancelled->store(true);
  ExpectRefused(unwanted.Send().Answer(), absl::StatusCode::kCancelled, "CANCELLED", "went away");
  EXPECT_EQ(pipeline.metrics.rejected.deadline_expired.Value(), 1);
  EXPECT_EQ(pipeline.metrics.rejected.cancelled.Value(), 1);
}

TEST(DetectorTest, AnImageWaitsUntilItsPixelsFitIntoTheBudget) {
  PipelineOptions options;
  options.detector.pixel_bytes = 10'000;
  Pipeline pipeline(options);
  ByteBudget& budget = pipeline.detector.pixel_budget();
  auto others = std::make_unique<ByteBudget::Lease>(budget.Acquire(9'000));
  Asked asked(pipeline, MarkedBmp(5, 30, 20));  // 600 pixels of 11 bytes
  asked.Send();
  while (budget.waiting() == 0) std::this_thread::yield();
  EXPECT_EQ(asked.answers(), 0u);
  others.reset();
  const auto& answer = asked.Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_GT(answer->times.queue, absl::ZeroDuration());
  EXPECT_EQ(budget.used(), 0);
}

TEST(DetectorTest, AnImageThatIsCancelledWhileItWaitsForTheBudgetIsNotDecoded) {
  PipelineOptions options;
  options.detector.pixel_bytes = 10'000;
  Pipeline pipeline(options);
  ByteBudget& budget = pipeline.detector.pixel_budget();
  auto others = std::make_unique<ByteBudget::Lease>(budget.Acquire(10'000));
  Asked asked(pipeline, MarkedBmp(5, 30, 20));
  asked.Send();
  while (budget.waiting() == 0) std::this_thread::yield();
  asked.Cancel();
  others.reset();
  EXPECT_EQ(asked.Answer().status().code(), absl::StatusCode::kCancelled);
}

TEST(DetectorTest, AnImageThatNeedsMoreThanTheBudgetIsInspected) {
  PipelineOptions options;
  options.detector.pixel_bytes = 1;
  Pipeline pipeline(options);
  Asked asked(pipeline, MarkedBmp(5, 30, 20));
  asked.query.outputs.heatmap = model::HeatmapEncoding::kFloat32;
  asked.query.outputs.overlay = true;
  asked.query.outputs.grid = Grid::kOriginal;
  EXPECT_TRUE(asked.Send().Answer().ok());
}

TEST(DetectorTest, DeadlineAndCancellationAreAnsweredWhileEveryWorkerIsBusy) {
  Pipeline pipeline;
  pipeline.model->Hold();
  Asked first(pipeline, 1);
  first.Send();
  pipeline.model->AwaitBatches(1);

  Asked late(pipeline, 2);
  late.query.deadline = absl::Now() + absl::Milliseconds(20);
  late.Send();
  Asked unwanted(pipeline, 3);
  unwanted.Send().Cancel();
  EXPECT_EQ(late.Answer().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(unwanted.Answer().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(first.answers(), 0u);

  pipeline.model->Release();
  EXPECT_TRUE(first.Answer().ok());
  EXPECT_THAT(pipeline.model->Seen(), ElementsAre(1));
}

TEST(DetectorTest, AQueryWithoutADeadlineGetsTheDefault) {
  Pipeline pipeline({.detector = {.default_deadline = absl::Milliseconds(20)}});
  pipeline.model->Hold();
  Asked first(pipeline, 1);
  first.query.deadline = absl::Now() + absl::Hours(1);
  first.Send();
  pipeline.model->AwaitBatches(1);
  Asked second(pipeline, 2);
  ExpectRefused(second.Send().Answer(), absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXPIRED",
                "not inspected");
  pipeline.model->Release();
  EXPECT_TRUE(first.Answer().ok());
}

TEST(DetectorTest, AFullServerRefusesAtOnceAndAdmitsAgainLater) {
  Pipeline pipeline({.admission = {.max_images = 1}});
  pipeline.model->Hold();
  Asked first(pipeline, 1);
  first.Send();
  Asked second(pipeline, 2);
  second.Send();
  ASSERT_EQ(second.answers(), 1u);
  ExpectRefused(second.Answer(), absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "full");
  EXPECT_TRUE(GetDetails(second.Answer().status()).retry_after.has_value());
  pipeline.model->Release();
  EXPECT_TRUE(first.Answer().ok());
}

TEST(DetectorTest, ARefusalOfTheBatcherHasARetryTime) {
  Pipeline pipeline({.batching = {.batch = {.max_batch = 1}, .max_waiting = 1}});
  pipeline.model->Hold();
  Asked running(pipeline, 1);
  running.Send();
  pipeline.model->AwaitBatches(1);
  Asked one(pipeline, 2);
  Asked other(pipeline, 3);
  one.Send();
  other.Send();
  AwaitTrue("an answer", [&] { return one.answers() + other.answers() > 0; });
  const auto& refused = one.answers() > 0 ? one.Answer() : other.Answer();
  ExpectRefused(refused, absl::StatusCode::kResourceExhausted, "QUEUE_FULL", "1 images wait");
  EXPECT_TRUE(GetDetails(refused.status()).retry_after.has_value());
  EXPECT_EQ(pipeline.metrics.rejected.queue_full.Value(), 1);
  pipeline.model->Release();
  EXPECT_EQ(one.Answer().ok() + other.Answer().ok(), 1);
  EXPECT_TRUE(running.Answer().ok());
}

TEST(DetectorTest, AClientThatWaitsForEachAnswerIsNeverRefused) {
  Pipeline pipeline({.admission = {.max_images = 1}});
  for (uint32_t marker = 0; marker < 200; ++marker) {
    Asked asked(pipeline, marker);
    const auto& answer = asked.Send().Answer();
    ASSERT_TRUE(answer.ok()) << answer.status();
  }
}

TEST(DetectorTest, DrainRefusesNewImagesAndAnswersAdmittedOnes) {
  Pipeline pipeline;
  pipeline.model->Hold();
  Asked accepted(pipeline, 1);
  accepted.Send();
  pipeline.detector.Drain();
  ExpectRefused(Asked(pipeline, 2).Send().Answer(), absl::StatusCode::kUnavailable, "DRAINING",
                "shutting down");
  pipeline.model->Release();
  EXPECT_TRUE(accepted.Answer().ok());
}

TEST(DetectorTest, AModelThatFailsGivesNoVerdict) {
  Pipeline pipeline;
  pipeline.model->SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    if (markers.front() == 1) answers = absl::InternalError("broken");
    if (markers.front() == 2) (*answers)[0].score = std::nan("");
  });
  Asked broken(pipeline, 1);
  broken.query.threshold = 1.0;
  ExpectRefused(broken.Send().Answer(), absl::StatusCode::kInternal, "MODEL_FAILED", "broken");
  Asked lying(pipeline, 2);
  lying.query.threshold = 1.0;
  ExpectRefused(lying.Send().Answer(), absl::StatusCode::kInternal, "NON_FINITE_OUTPUT", "finite");
  EXPECT_THAT(pipeline.metrics.Serialize(), Not(HasSubstr("verdict=\"normal\"} 1")));
  Asked good(pipeline, 3);
  good.query.threshold = 1.0;
  ASSERT_TRUE(good.Send().Answer().ok());
  EXPECT_THAT(pipeline.metrics.Serialize(), HasSubstr("verdict=\"normal\"} 1"));
}

TEST(DetectorTest, HeatmapsAndOverlaysOnTheModelsGrid) {
  Pipeline pipeline;
  Asked asked(pipeline, MarkedBmp(0x400000, 30, 20));
  asked.query.outputs = {model::HeatmapEncoding::kFloat32, true, Grid::kModel};
  const auto& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_TRUE(answer->heatmap.has_value());
  EXPECT_EQ(answer->heatmap->width, kFakeSide);
  EXPECT_EQ(answer->heatmap->height, kFakeSide);
  std::vector<float> map(kFakeSide * kFakeSide);
  ASSERT_EQ(answer->heatmap->data.size(), map.size() * sizeof(float));
  std::memcpy(map.data(), answer->heatmap->data.data(), answer->heatmap->data.size());
  EXPECT_EQ(map, FakeModel::Map(answer->score));
  ASSERT_TRUE(answer->overlay.has_value());
  const model::Image overlay = model::DecodeImage(Bytes(answer->overlay->png));
  EXPECT_EQ(overlay.width, kFakeSide);
  EXPECT_EQ(overlay.height, kFakeSide);
}

TEST(DetectorTest, HeatmapsAndOverlaysOnTheGridOfTheImage) {
  Pipeline pipeline;
  Asked asked(pipeline, MarkedBmp(0x400000, 30, 20));
  asked.query.outputs = {model::HeatmapEncoding::kU8, true, Grid::kOriginal};
  const auto& answer = asked.Send().Answer();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->heatmap->width, 30);
  EXPECT_EQ(answer->heatmap->height, 20);
  EXPECT_EQ(answer->heatmap->data.size(), 600u);
  EXPECT_EQ(answer->overlay->width, 30);
  EXPECT_EQ(answer->overlay->height, 20);
  const model::Image overlay = model::DecodeImage(Bytes(answer->overlay->png));
  EXPECT_EQ(overlay.width, 30);
  EXPECT_EQ(overlay.height, 20);
}

// Many clients at once, some of whom go away or are in a hurry, and a model that fails now and
// then: every query is answered once, and every detection is that of its own image.
TEST(DetectorTest, EveryQueryGetsExactlyOneAnswer) {
  constexpr int kClients = 8;
  constexpr int kImages = 150;
  Pipeline pipeline({.admission = {.max_images = 24},
                     .batching = {.batch = {.max_batch = 4}},
                     .pool_threads = 3,
                     .workers = {.workers = 2}});
  pipeline.model->SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    if (markers.front() % 17 == 0) answers = absl::InternalError("broken");
    if (markers.front() % 19 == 0) throw std::runtime_error("thrown");
  });
  std::atomic<int> answered = 0;
  std::atomic<int> inspected = 0;
  std::vector<std::thread> clients;
  for (int client = 0; client < kClients; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937 random(client);
      std::vector<std::unique_ptr<Asked>> asked;
      for (int i = 0; i < kImages; ++i) {
        const uint32_t marker = client * 10'000 + i;
        asked.push_back(std::make_unique<Asked>(pipeline, marker));
        Asked& query = *asked.back();
        if (random() % 4 == 0) query.query.outputs.heatmap = model::HeatmapEncoding::kU8;
        if (random() % 4 == 0) {
          query.query.deadline = absl::Now() + absl::Microseconds(random() % 2000);
        }
        query.Send();
        if (random() % 4 == 0) query.Cancel();
        if (random() % 2 == 0) query.Answer().IgnoreError();
      }
      for (int i = 0; i < kImages; ++i) {
        const auto& answer = asked[i]->Answer();
        ++answered;
        if (!answer.ok()) continue;
        ++inspected;
        EXPECT_EQ(answer->score, FakeScore(client * 10'000 + i));
      }
      EXPECT_TRUE(pipeline.admission.AwaitIdle(absl::InfiniteFuture()));
      for (auto& query : asked) EXPECT_EQ(query->answers(), 1u);
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(answered.load(), kClients * kImages);
  EXPECT_GT(inspected.load(), 0);
  EXPECT_EQ(pipeline.admission.in_flight(), 0);
  EXPECT_EQ(pipeline.admission.bytes(), 0);
}

}  // namespace
}  // namespace proad::server
