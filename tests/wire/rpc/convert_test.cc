#include "server/rpc/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"
#include "tests/support/fake_model.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

v1::DetectRequest Encoded() {
  v1::DetectRequest request;
  request.set_encoded("picture");
  return request;
}

v1::DetectRequest WithFrame(v1::PixelFormat format) {
  v1::DetectRequest request;
  v1::Frame& frame = *request.mutable_frame();
  frame.set_width(4);
  frame.set_height(3);
  frame.set_stride(16);
  frame.set_pixel_format(format);
  frame.set_data(std::string(48, 'x'));
  return request;
}

TEST(ParseDetectRequestTest, RefusesBadRequestsByFieldAndLimit) {
  struct Case {
    std::string name;
    std::function<void(v1::DetectRequest&)> spoil;
    std::string field, reason;
    std::vector<std::string> words;
  };
  using R = v1::DetectRequest;
  const std::vector<Case> cases = {
      {"no image", [](R& r) { r.clear_image(); }, "image", "IMAGE_MISSING", {"encoded or frame"}},
      {"no bytes", [](R& r) { r.set_encoded(""); }, "encoded", "IMAGE_EMPTY", {"no bytes"}},
      {"too many bytes",
       [](R& r) { r.set_encoded(std::string(101, 'x')); },
       "encoded",
       "IMAGE_BYTES_TOO_LARGE",
       {"101 bytes", "at most 100"}},
      {"a frame of no bytes",
       [](R& r) {
         r = WithFrame(v1::PIXEL_FORMAT_MONO8);
         r.mutable_frame()->clear_data();
       },
       "frame.data",
       "IMAGE_EMPTY",
       {"no bytes"}},
      {"a frame of too many bytes",
       [](R& r) {
         r = WithFrame(v1::PIXEL_FORMAT_MONO8);
         r.mutable_frame()->set_data(std::string(200, 'x'));
       },
       "frame.data",
       "IMAGE_BYTES_TOO_LARGE",
       {"200 bytes", "at most 100"}},
      {"no pixel format",
       [](R& r) { r = WithFrame(v1::PIXEL_FORMAT_UNSPECIFIED); },
       "frame.pixel_format",
       "PIXEL_FORMAT_MISSING",
       {"not set", "MONO8, MONO10, MONO12,", "BAYER_RG8, BAYER_GB8,", "YUV422_8_UYVY"}},
      {"an unknown pixel format",
       [](R& r) { r = WithFrame(static_cast<v1::PixelFormat>(77)); },
       "frame.pixel_format",
       "ENUM_UNKNOWN",
       {"77 is no PixelFormat", "supported: MONO8"}},
      {"an unknown heatmap format",
       [](R& r) { r.mutable_outputs()->set_heatmap(static_cast<v1::HeatmapFormat>(9)); },
       "outputs.heatmap",
       "ENUM_UNKNOWN",
       {"9 is no HeatmapFormat", "FLOAT32, U16_SCALED, U8_SCALED, PNG16"}},
      {"a JPEG overlay",
       [](R& r) { r.mutable_outputs()->set_overlay(v1::OVERLAY_FORMAT_JPEG); },
       "outputs.overlay",
       "NOT_SUPPORTED",
       {"JPEG is not supported yet", "supported: PNG"}},
      {"an unknown overlay format",
       [](R& r) { r.mutable_outputs()->set_overlay(static_cast<v1::OverlayFormat>(-3)); },
       "outputs.overlay",
       "ENUM_UNKNOWN",
       {"-3 is no OverlayFormat"}},
      {"a mask",
       [](R& r) { r.mutable_outputs()->set_mask(true); },
       "outputs.mask",
       "NOT_SUPPORTED",
       {"mask is not supported yet", "heatmap, overlay"}},
      {"regions",
       [](R& r) { r.mutable_outputs()->set_regions(true); },
       "outputs.regions",
       "NOT_SUPPORTED",
       {"regions is not supported yet"}},
      {"an unknown resolution",
       [](R& r) { r.mutable_outputs()->set_resolution(static_cast<v1::Resolution>(5)); },
       "outputs.resolution",
       "ENUM_UNKNOWN",
       {"5 is no Resolution", "MODEL, ORIGINAL"}},
      {"a long request id",
       [](R& r) { r.set_request_id(std::string(129, 'x')); },
       "request_id",
       "REQUEST_ID_INVALID",
       {"129 bytes", "at most 128"}},
      {"a request id that is not printable",
       [](R& r) { r.set_request_id("a\nb"); },
       "request_id",
       "REQUEST_ID_INVALID",
       {"printable ASCII", "a\\nb"}},
      {"a model that is no name",
       [](R& r) { r.set_model("../etc"); },
       "model",
       "MODEL_NAME_INVALID",
       {"../etc", "name@version"}},
      {"a long category",
       [](R& r) { r.set_category(std::string(129, 'x')); },
       "category",
       "CATEGORY_INVALID",
       {"129 bytes", "at most 128"}},
      {"threshold 0", [](R& r) { r.set_threshold(0); }, "threshold", "THRESHOLD_INVALID", {"> 0"}},
      {"a negative threshold",
       [](R& r) { r.set_threshold(-0.5); },
       "threshold",
       "THRESHOLD_INVALID",
       {"-0.5"}},
      {"a threshold that is no number",
       [](R& r) { r.set_threshold(std::nan("")); },
       "threshold",
       "THRESHOLD_INVALID",
       {"finite"}},
      {"an infinite threshold",
       [](R& r) { r.set_threshold(std::numeric_limits<double>::infinity()); },
       "threshold",
       "THRESHOLD_INVALID",
       {"finite"}},
      {"too many labels",
       [](R& r) {
         for (int i = 0; i < 17; ++i) (*r.mutable_labels())[absl::StrCat(i)] = "x";
       },
       "labels",
       "LABELS_INVALID",
       {"17 entries", "at most 16"}},
      {"an empty label key",
       [](R& r) { (*r.mutable_labels())[""] = "x"; },
       "labels",
       "LABELS_INVALID",
       {"1 to 64"}},
      {"a long label key",
       [](R& r) { (*r.mutable_labels())[std::string(65, 'k')] = "x"; },
       "labels",
       "LABELS_INVALID",
       {"65 bytes", "1 to 64"}},
      {"a long label value",
       [](R& r) { (*r.mutable_labels())["lot"] = std::string(257, 'v'); },
       "labels",
       "LABELS_INVALID",
       {"lot", "257 bytes", "at most 256"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    v1::DetectRequest request = Encoded();
    c.spoil(request);
    const absl::Status status = ParseDetectRequest(request, {.max_bytes = 100}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    const StatusDetails details = GetDetails(status);
    EXPECT_EQ(details.field, c.field);
    EXPECT_EQ(details.reason, c.reason);
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
    for (const std::string& word : c.words) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(word));
    }
  }
}

TEST(ParseDetectRequestTest, TakesEverythingAtItsLimit) {
  v1::DetectRequest request = Encoded();
  request.set_encoded(std::string(100, 'x'));
  request.set_request_id(std::string(128, '~'));
  request.set_model("board@7");
  request.set_category(std::string(128, 'c'));
  request.set_threshold(0.25);
  for (int i = 0; i < 15; ++i) (*request.mutable_labels())[absl::StrCat(i)] = "";
  (*request.mutable_labels())[std::string(64, 'k')] = std::string(256, 'v');
  const auto query = ParseDetectRequest(request, {.max_bytes = 100});
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->model, "board@7");
  EXPECT_EQ(query->category, request.category());
  EXPECT_EQ(query->threshold, 0.25);
  EXPECT_EQ(query->image_bytes(), 100);
  EXPECT_FALSE(query->outputs.any());
}

TEST(ParseDetectRequestTest, DoesNotCopyTheImage) {
  const v1::DetectRequest encoded = Encoded();
  const auto file = ParseDetectRequest(encoded, {});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(static_cast<const void*>(std::get<std::span<const uint8_t>>(file->image).data()),
            encoded.encoded().data());

  const v1::DetectRequest framed = WithFrame(v1::PIXEL_FORMAT_BGR8);
  const auto frame = ParseDetectRequest(framed, {});
  ASSERT_TRUE(frame.ok());
  const auto& view = std::get<model::FrameView>(frame->image);
  EXPECT_EQ(static_cast<const void*>(view.data.data()), framed.frame().data().data());
  EXPECT_EQ(view.width, 4);
  EXPECT_EQ(view.height, 3);
  EXPECT_EQ(view.stride, 16);
  EXPECT_EQ(view.format, model::PixelFormat::kBgr8);
}

TEST(ParseDetectRequestTest, AcceptsEveryPixelFormatOfTheTable) {
  for (const model::PixelFormatTraits& traits : model::PixelFormats()) {
    v1::PixelFormat format = v1::PIXEL_FORMAT_UNSPECIFIED;
    ASSERT_TRUE(v1::PixelFormat_Parse(absl::StrCat("PIXEL_FORMAT_", traits.api_name), &format));
    const v1::DetectRequest request = WithFrame(format);
    const auto query = ParseDetectRequest(request, {});
    ASSERT_TRUE(query.ok()) << traits.name;
    EXPECT_EQ(std::get<model::FrameView>(query->image).format, traits.format);
  }
}

TEST(ParseDetectRequestTest, EveryOutputThatIsThere) {
  struct Case {
    v1::HeatmapFormat format;
    model::HeatmapEncoding encoding;
  };
  for (const Case& c :
       std::vector<Case>{{v1::HEATMAP_FORMAT_FLOAT32, model::HeatmapEncoding::kFloat32},
                         {v1::HEATMAP_FORMAT_U16_SCALED, model::HeatmapEncoding::kU16},
                         {v1::HEATMAP_FORMAT_U8_SCALED, model::HeatmapEncoding::kU8},
                         {v1::HEATMAP_FORMAT_PNG16, model::HeatmapEncoding::kPng16}}) {
    v1::DetectRequest request = Encoded();
    request.mutable_outputs()->set_heatmap(c.format);
    request.mutable_outputs()->set_overlay(v1::OVERLAY_FORMAT_PNG);
    request.mutable_outputs()->set_resolution(v1::RESOLUTION_ORIGINAL);
    const auto query = ParseDetectRequest(request, {});
    ASSERT_TRUE(query.ok()) << query.status();
    EXPECT_EQ(query->outputs.heatmap, c.encoding);
    EXPECT_TRUE(query->outputs.overlay);
    EXPECT_EQ(query->outputs.grid, Grid::kOriginal);
  }
}

TEST(RequestIdTest, EchoesAGoodOneAndMakesUpOthers) {
  v1::DetectRequest request;
  request.set_request_id("part 17");
  EXPECT_EQ(RequestId(request), "part 17");
  request.clear_request_id();
  const std::string first = RequestId(request);
  EXPECT_THAT(first, MatchesRegex("[0-9a-f]{32}"));
  EXPECT_NE(RequestId(request), first);
  request.set_request_id("a\nb");
  EXPECT_THAT(RequestId(request), MatchesRegex("[0-9a-f]{32}"));
}

TEST(FillDetectResponseTest, SaysEverythingThatWasFound) {
  Detection detection;
  detection.model = std::make_shared<FakeModel>(FakeManifest("board", "7"));
  detection.score = 0.75;
  detection.threshold = {0.5, ThresholdSource::kCategory};
  detection.verdict = Verdict::kAnomalous;
  detection.heatmap = model::EncodedHeatmap{2, 1, 0.5f, 0.25f, "ab"};
  detection.heatmap_encoding = model::HeatmapEncoding::kU8;
  detection.overlay = Overlay{3, 4, "png"};
  detection.inspected_area = {1, 2, 30, 40};
  detection.width = 32;
  detection.height = 44;
  detection.times.inference = absl::Milliseconds(1500);
  detection.times.queue = -absl::Seconds(1);  // the wall clock was set back
  detection.times.batch_size = 4;

  v1::DetectResponse response;
  FillDetectResponse(std::move(detection), "pcb", response);
  EXPECT_EQ(response.model_version().name(), "board");
  EXPECT_EQ(response.model_version().version(), "7");
  EXPECT_EQ(response.model_version().hash(), std::string(64, 'a'));
  EXPECT_EQ(response.category(), "pcb");
  EXPECT_EQ(response.score(), 0.75);
  EXPECT_EQ(response.normalized_score(), 0.75);
  EXPECT_EQ(response.threshold(), 0.5);
  EXPECT_EQ(response.threshold_source(), v1::THRESHOLD_SOURCE_CATEGORY);
  EXPECT_EQ(response.verdict(), v1::VERDICT_ANOMALOUS);
  EXPECT_EQ(response.heatmap().width(), 2u);
  EXPECT_EQ(response.heatmap().height(), 1u);
  EXPECT_EQ(response.heatmap().format(), v1::HEATMAP_FORMAT_U8_SCALED);
  EXPECT_EQ(response.heatmap().scale(), 0.5f);
  EXPECT_EQ(response.heatmap().offset(), 0.25f);
  EXPECT_EQ(response.heatmap().data(), "ab");
  EXPECT_EQ(response.overlay().width(), 3u);
  EXPECT_EQ(response.overlay().format(), v1::OVERLAY_FORMAT_PNG);
  EXPECT_EQ(response.overlay().scale_high(), 2.0f);
  EXPECT_EQ(response.inspected_area().x(), 1u);
  EXPECT_EQ(response.inspected_area().height(), 40u);
  EXPECT_EQ(response.image_width(), 32u);
  EXPECT_EQ(response.image_height(), 44u);
  EXPECT_EQ(response.timing().inference().seconds(), 1);
  EXPECT_EQ(response.timing().inference().nanos(), 500'000'000);
  EXPECT_EQ(response.timing().queue().seconds(), 0);
  EXPECT_EQ(response.timing().batch_size(), 4u);
}

TEST(FillDetectResponseTest, WithoutAThresholdNothingIsDecided) {
  Detection detection;
  detection.model = std::make_shared<FakeModel>();
  detection.score = 0.0;
  v1::DetectResponse response;
  FillDetectResponse(std::move(detection), "", response);
  EXPECT_EQ(response.verdict(), v1::VERDICT_UNDECIDED);
  EXPECT_EQ(response.threshold_source(), v1::THRESHOLD_SOURCE_NONE);
  EXPECT_FALSE(response.has_threshold());
  EXPECT_FALSE(response.has_normalized_score());
  EXPECT_FALSE(response.has_heatmap());
  EXPECT_FALSE(response.has_overlay());
}

}  // namespace
}  // namespace proad::server
