// Detect over a real gRPC connection, with a fake model behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "server/rpc/status.h"
#include "tests/support/pictures.h"
#include "tests/support/sync.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kLong = std::chrono::minutes(5);

v1::DetectRequest Picture(uint32_t marker, int width = kFakeSide, int height = kFakeSide) {
  v1::DetectRequest request;
  request.set_encoded(MarkedBmp(marker, width, height));
  return request;
}

v1::DetectRequest FramePicture(v1::PixelFormat format, int width, int height, size_t bytes) {
  v1::DetectRequest request;
  request.mutable_frame()->set_pixel_format(format);
  request.mutable_frame()->set_width(width);
  request.mutable_frame()->set_height(height);
  request.mutable_frame()->set_data(std::string(bytes, '\x40'));
  return request;
}

// One call in a thread of its own.
class Call {
 public:
  Call(WireServer& server, v1::DetectRequest request,
       std::chrono::system_clock::duration timeout = kLong)
      : request_(std::move(request)) {
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    thread_ = std::thread(
        [this, &server] { status_ = server.stub->Detect(&context, request_, &response); });
  }
  ~Call() { Status().ok(); }

  // Waits for the answer.
  const grpc::Status& Status() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }

  grpc::ClientContext context;
  v1::DetectResponse response;

 private:
  const v1::DetectRequest request_;
  grpc::Status status_;
  std::thread thread_;
};

std::vector<float> DecodeMap(const v1::Heatmap& heatmap) {
  const size_t count = size_t{heatmap.width()} * heatmap.height();
  std::vector<float> values(count);
  const std::string& data = heatmap.data();
  for (size_t i = 0; i < count; ++i) {
    double raw = 0;
    if (heatmap.format() == v1::HEATMAP_FORMAT_FLOAT32) {
      float value = 0;
      std::memcpy(&value, data.data() + 4 * i, 4);
      raw = value;
    } else if (heatmap.format() == v1::HEATMAP_FORMAT_U16_SCALED) {
      raw = static_cast<uint8_t>(data[2 * i]) | static_cast<uint8_t>(data[2 * i + 1]) << 8;
    } else {
      raw = static_cast<uint8_t>(data[i]);
    }
    values[i] = static_cast<float>(raw * heatmap.scale() + heatmap.offset());
  }
  return values;
}

model::Image DecodePng(const std::string& file) {
  return model::DecodeImage({reinterpret_cast<const uint8_t*>(file.data()), file.size()});
}

TEST(DetectTest, AnswersAFileAndAFrameAlike) {
  WireServer server;
  v1::DetectRequest request = Picture(0x404040, 20, 10);
  request.set_request_id("part-17");
  Call file(server, request);
  ASSERT_TRUE(file.Status().ok()) << file.Status().error_message();
  EXPECT_EQ(file.response.request_id(), "part-17");
  EXPECT_EQ(file.response.score(), FakeScore(0x404040));
  EXPECT_EQ(file.response.verdict(), v1::VERDICT_UNDECIDED);
  EXPECT_EQ(file.response.model_version().name(), "fake");
  EXPECT_EQ(file.response.image_width(), 20u);
  EXPECT_EQ(file.response.image_height(), 10u);
  EXPECT_EQ(file.response.inspected_area().width(), 20u);
  EXPECT_EQ(file.response.timing().batch_size(), 1u);
  EXPECT_FALSE(file.response.has_heatmap());

  Call frame(server, FramePicture(v1::PIXEL_FORMAT_MONO8, 20, 10, 200));
  ASSERT_TRUE(frame.Status().ok()) << frame.Status().error_message();
  EXPECT_EQ(frame.response.score(), file.response.score());
  EXPECT_EQ(frame.response.request_id().size(), 32u);
}

TEST(DetectTest, EveryBadRequestIsToldByCodeFieldAndLimit) {
  model::Manifest manifest = FakeManifest();
  manifest.categories["pcb"] = model::Calibration{0.5, 0.01, 10};
  WireServer server({.pipeline = {.detector = {.image = {.max_bytes = 100'000,
                                                         .max_pixels = 1'000'000,
                                                         .max_side = 5'000}}}},
                    {std::make_shared<FakeModel>(manifest)});
  struct Case {
    std::string name;
    std::function<v1::DetectRequest()> request;
    grpc::StatusCode code;
    std::string field, reason, words;
  };
  const auto file = [](std::string bytes) {
    return [bytes] {
      v1::DetectRequest request;
      request.set_encoded(bytes);
      return request;
    };
  };
  const auto frame = [](v1::PixelFormat format, int width, int height, size_t bytes) {
    return [=] { return FramePicture(format, width, height, bytes); };
  };
  const auto with = [](std::function<void(v1::DetectRequest&)> change) {
    return [change] {
      v1::DetectRequest request = Picture(1);
      change(request);
      return request;
    };
  };
  using R = v1::DetectRequest;
  const auto bad = grpc::StatusCode::INVALID_ARGUMENT;
  const auto unknown = grpc::StatusCode::NOT_FOUND;
  const std::vector<Case> cases = {
      {"no image", [] { return R(); }, bad, "image", "IMAGE_MISSING", "encoded or frame"},
      {"empty", file(""), bad, "encoded", "IMAGE_EMPTY", "no bytes"},
      {"not a picture", file("hello"), bad, "encoded", "IMAGE_FORMAT_UNSUPPORTED", "PNG"},
      {"truncated", file(MarkedBmp(1, 50, 50).substr(0, 3000)), bad, "encoded",
       "IMAGE_DECODE_FAILED", "BMP"},
      {"too many bytes", file(std::string(100'001, 'x')), bad, "encoded", "IMAGE_BYTES_TOO_LARGE",
       "at most 100000"},
      {"a decompression bomb", file(BombPng(60'000, 60'000, 40'000)), bad, "encoded",
       "IMAGE_TOO_LARGE", "at most 5000"},
      {"too many pixels", file(BombPng(4'000, 4'000, 1'000)), bad, "encoded", "IMAGE_TOO_LARGE",
       "at most 1000000"},
      {"a frame without columns", frame(v1::PIXEL_FORMAT_MONO8, 0, 4, 16), bad, "frame.width",
       "IMAGE_EMPTY", "at least 1"},
      {"a frame without rows", frame(v1::PIXEL_FORMAT_MONO8, 4, 0, 16), bad, "frame.height",
       "IMAGE_EMPTY", "at least 1"},
      {"a short frame", frame(v1::PIXEL_FORMAT_RGB8, 4, 4, 47), bad, "frame.data",
       "FRAME_SIZE_MISMATCH", "47 bytes instead of 48"},
      {"a long frame", frame(v1::PIXEL_FORMAT_MONO16, 4, 4, 33), bad, "frame.data",
       "FRAME_SIZE_MISMATCH", "33 bytes instead of 32"},
      {"a wide frame", frame(v1::PIXEL_FORMAT_MONO8, 5'001, 1, 5'001), bad, "frame.width",
       "IMAGE_TOO_LARGE", "at most 5000"},
      {"no pixel format", frame(v1::PIXEL_FORMAT_UNSPECIFIED, 4, 4, 16), bad, "frame.pixel_format",
       "PIXEL_FORMAT_MISSING", "supported: MONO8"},
      {"a sample above white", frame(v1::PIXEL_FORMAT_MONO12, 4, 4, 32), bad, "frame.data",
       "FRAME_SAMPLE_INVALID", "white of Mono12 is 4095"},
      {"half a pair of pixels", frame(v1::PIXEL_FORMAT_YUV422_8, 5, 4, 40), bad, "frame.width",
       "FRAME_SIZE_MISMATCH", "needs an even width"},
      {"an unknown pixel format", frame(static_cast<v1::PixelFormat>(77), 4, 4, 16), bad,
       "frame.pixel_format", "ENUM_UNKNOWN", "77"},
      {"a mask", with([](R& r) { r.mutable_outputs()->set_mask(true); }), bad, "outputs.mask",
       "NOT_SUPPORTED", "mask is not supported yet"},
      {"threshold 0", with([](R& r) { r.set_threshold(0); }), bad, "threshold", "THRESHOLD_INVALID",
       "> 0"},
      {"a model that is no name", with([](R& r) { r.set_model("a/b"); }), bad, "model",
       "MODEL_NAME_INVALID", "name@version"},
      {"an unknown model", with([](R& r) { r.set_model("other"); }), unknown, "model",
       "MODEL_NOT_FOUND", "fake"},
      {"an unknown version", with([](R& r) { r.set_model("fake@2"); }), unknown, "model",
       "MODEL_NOT_FOUND", "there are: 1"},
      {"an unknown category", with([](R& r) { r.set_category("pbc"); }), unknown, "category",
       "CATEGORY_NOT_FOUND", "knows pcb"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Call call(server, c.request());
    const grpc::Status& status = call.Status();
    ASSERT_EQ(status.error_code(), c.code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(c.words));
    const google::rpc::Status details = DetailsOf(status);
    EXPECT_EQ(details.code(), c.code);
    EXPECT_EQ(FieldOf(details), c.field);
    EXPECT_EQ(ReasonOf(details), c.reason);
    EXPECT_EQ(call.response.verdict(), v1::VERDICT_UNSPECIFIED);
  }
  EXPECT_TRUE(server.model().Seen().empty());
  EXPECT_TRUE(Call(server, Picture(1)).Status().ok());
}

TEST(DetectTest, OverloadIsSaidAtOnceWithTheTimeToTryAgain) {
  WireServer server({.pipeline = {.admission = {.max_images = 1}}});
  server.model().Hold();
  Call first(server, Picture(1));
  server.model().AwaitBatches(1);

  Call second(server, Picture(2));
  ASSERT_EQ(second.Status().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const google::rpc::Status details = DetailsOf(second.Status());
  EXPECT_EQ(ReasonOf(details), "QUEUE_FULL");
  const auto retry = Find<google::rpc::RetryInfo>(details).retry_delay();
  const auto trailer = second.context.GetServerTrailingMetadata().find(kPushbackTrailer);
  ASSERT_NE(trailer, second.context.GetServerTrailingMetadata().end());
  const int64_t pushback = std::stoll(std::string(trailer->second.data(), trailer->second.size()));
  EXPECT_GT(pushback, 0);
  EXPECT_NEAR(pushback, retry.seconds() * 1e3 + retry.nanos() / 1e6, 1.0);

  server.model().Release();
  EXPECT_TRUE(first.Status().ok());
  EXPECT_TRUE(Call(server, Picture(3)).Status().ok());
}

TEST(DetectTest, WhatIsLateOrGivenUpNeverReachesTheModel) {
  WireServer server;
  server.model().Hold();
  Call first(server, Picture(1));
  server.model().AwaitBatches(1);

  Call late(server, Picture(2), std::chrono::milliseconds(50));
  EXPECT_EQ(late.Status().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);

  Call given_up(server, Picture(3));
  AwaitTrue("a task in the batcher", [&] { return server.pipeline.batcher.waiting() > 0; });
  given_up.context.TryCancel();
  EXPECT_EQ(given_up.Status().error_code(), grpc::StatusCode::CANCELLED);

  // Dropped though the only worker is still busy.
  AwaitTrue("the other calls to end", [&] { return server.pipeline.admission.in_flight() <= 1; });
  server.model().Release();
  EXPECT_TRUE(first.Status().ok());
  EXPECT_THAT(server.model().Seen(), ElementsAre(1));
}

TEST(DetectTest, AModelThatFailsIsAnErrorAndNeverAVerdict) {
  WireServer server;
  server.model().SetTwist([](const auto& markers, FakeModel::Answers& answers) {
    if (markers.front() == 1) throw std::runtime_error("no kernel");
    if (markers.front() == 2) (*answers)[0].score = std::nan("");
  });
  for (uint32_t marker : {1, 2}) {
    v1::DetectRequest request = Picture(marker);
    request.set_threshold(1.0);
    Call call(server, request);
    EXPECT_EQ(call.Status().error_code(), grpc::StatusCode::INTERNAL);
    EXPECT_EQ(ReasonOf(DetailsOf(call.Status())),
              marker == 1 ? "MODEL_FAILED" : "NON_FINITE_OUTPUT");
    EXPECT_EQ(call.response.verdict(), v1::VERDICT_UNSPECIFIED);
  }
  v1::DetectRequest request = Picture(3);
  request.set_threshold(1.0);
  Call good(server, request);
  ASSERT_TRUE(good.Status().ok());
  EXPECT_EQ(good.response.verdict(), v1::VERDICT_NORMAL);
  EXPECT_EQ(good.response.threshold_source(), v1::THRESHOLD_SOURCE_REQUEST);
}

TEST(DetectTest, DrainAnswersTheAcceptedAndRefusesTheNew) {
  WireServer server;
  server.model().Hold();
  Call accepted(server, Picture(1));
  server.model().AwaitBatches(1);
  server.service.Drain();
  Call refused(server, Picture(2));
  EXPECT_EQ(refused.Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(DetailsOf(refused.Status())), "DRAINING");
  server.model().Release();
  EXPECT_TRUE(accepted.Status().ok());
}

TEST(DetectTest, EveryHeatmapFormatSaysTheSameMap) {
  WireServer server;
  for (const v1::Resolution resolution : {v1::RESOLUTION_MODEL, v1::RESOLUTION_ORIGINAL}) {
    const bool original = resolution == v1::RESOLUTION_ORIGINAL;
    const uint32_t width = original ? 30 : kFakeSide;
    const uint32_t height = original ? 20 : kFakeSide;
    std::vector<float> exact;
    for (const v1::HeatmapFormat format :
         {v1::HEATMAP_FORMAT_FLOAT32, v1::HEATMAP_FORMAT_U16_SCALED, v1::HEATMAP_FORMAT_U8_SCALED,
          v1::HEATMAP_FORMAT_PNG16}) {
      SCOPED_TRACE(v1::HeatmapFormat_Name(format) + " " + v1::Resolution_Name(resolution));
      v1::DetectRequest request = Picture(0x7fffff, 30, 20);
      request.mutable_outputs()->set_heatmap(format);
      request.mutable_outputs()->set_resolution(resolution);
      Call call(server, request);
      ASSERT_TRUE(call.Status().ok()) << call.Status().error_message();
      const v1::Heatmap& heatmap = call.response.heatmap();
      EXPECT_EQ(heatmap.format(), format);
      ASSERT_EQ(heatmap.width(), width);
      ASSERT_EQ(heatmap.height(), height);
      if (format == v1::HEATMAP_FORMAT_PNG16) {
        // DecodeImage keeps the upper 8 of the 16 bits, rounded.
        const model::Image picture = DecodePng(heatmap.data());
        ASSERT_EQ(picture.width, static_cast<int>(width));
        ASSERT_EQ(picture.height, static_cast<int>(height));
        for (size_t i = 0; i < exact.size(); ++i) {
          const double value = picture.pixels[3 * i] * 257.0 * heatmap.scale() + heatmap.offset();
          EXPECT_NEAR(value, exact[i], 129 * heatmap.scale());
        }
        continue;
      }
      const std::vector<float> values = DecodeMap(heatmap);
      if (format == v1::HEATMAP_FORMAT_FLOAT32) {
        exact = values;
        EXPECT_EQ(heatmap.scale(), 1.0f);
        EXPECT_EQ(heatmap.offset(), 0.0f);
        if (!original) {
          EXPECT_EQ(exact, FakeModel::Map(call.response.score()));
        }
      }
      for (size_t i = 0; i < exact.size(); ++i) {
        EXPECT_NEAR(values[i], exact[i], heatmap.scale() / 2 * 1.001);
      }
    }
  }
}

TEST(DetectTest, TheOverlayIsAPictureOfThePicturesSize) {
  WireServer server;
  v1::DetectRequest request = Picture(0x7fffff, 30, 20);
  request.mutable_outputs()->set_overlay(v1::OVERLAY_FORMAT_PNG);
  request.mutable_outputs()->set_resolution(v1::RESOLUTION_ORIGINAL);
  Call call(server, request);
  ASSERT_TRUE(call.Status().ok()) << call.Status().error_message();
  const v1::Overlay& overlay = call.response.overlay();
  EXPECT_EQ(overlay.width(), 30u);
  EXPECT_EQ(overlay.height(), 20u);
  EXPECT_EQ(overlay.format(), v1::OVERLAY_FORMAT_PNG);
  EXPECT_EQ(overlay.scale_low(), 0.0f);
  EXPECT_EQ(overlay.scale_high(), 2.0f);
  const model::Image picture = DecodePng(overlay.data());
  EXPECT_EQ(picture.width, 30);
  EXPECT_EQ(picture.height, 20);
  EXPECT_FALSE(call.response.has_heatmap());
}

TEST(DetectTest, CountsRequestsByCodeAndVerdicts) {
  WireServer server;
  v1::DetectRequest request = Picture(1);
  request.set_threshold(1.0);
  request.set_category("pcb");
  EXPECT_TRUE(Call(server, request).Status().ok());
  EXPECT_FALSE(Call(server, v1::DetectRequest()).Status().ok());
  const std::string text = server.pipeline.metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("proad_requests_total{code=\"OK\",rpc=\"Detect\"} 1"));
  EXPECT_THAT(text, HasSubstr("proad_requests_total{code=\"INVALID_ARGUMENT\",rpc=\"Detect\"} 1"));
  EXPECT_THAT(text, HasSubstr("proad_verdicts_total{category=\"pcb\",verdict=\"normal\"} 1"));
}

}  // namespace
}  // namespace proad::server
