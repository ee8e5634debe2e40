// DetectStream over a real gRPC connection, with a fake model behind it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "model/picture/image_limits.h"
#include "server/config.h"
#include "tests/support/pictures.h"
#include "tests/support/sync.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A client's end of a stream.
class Stream {
 public:
  explicit Stream(WireServer& server) : stream_(server.stub->DetectStream(&context)) {}

  bool Send(uint32_t marker) {
    v1::DetectStreamRequest request;
    request.mutable_request()->set_request_id(absl::StrCat(marker));
    request.mutable_request()->set_encoded(MarkedBmp(marker));
    return stream_->Write(request);
  }
  bool SendRaw(const std::string& id, const std::string& bytes) {
    v1::DetectStreamRequest request;
    request.mutable_request()->set_request_id(id);
    request.mutable_request()->set_encoded(bytes);
    return stream_->Write(request);
  }
  bool SendMessage(const v1::DetectStreamRequest& request) { return stream_->Write(request); }
  void WritesDone() { stream_->WritesDone(); }

  bool Read(v1::DetectStreamResponse& response) { return stream_->Read(&response); }

  // Reads to the end; the answers by request id. An id that comes twice fails the test.
  std::map<std::string, v1::DetectStreamResponse> ReadAll() {
    std::map<std::string, v1::DetectStreamResponse> answers;
    v1::DetectStreamResponse response;
    while (Read(response)) {
      EXPECT_FALSE(answers.contains(response.request_id())) << response.request_id();
      answers[response.request_id()] = response;
    }
    return answers;
  }
  grpc::Status Finish() { return stream_->Finish(); }

  grpc::ClientContext context;

 private:
  std::unique_ptr<grpc::ClientReaderWriter<v1::DetectStreamRequest, v1::DetectStreamResponse>>
      stream_;
};

void AwaitInFlight(WireServer& server, int64_t count) {
  AwaitTrue("the images in flight", [&] { return server.pipeline.admission.in_flight() == count; });
}

// Whether `condition` becomes true within ten seconds.
template <typename Condition>
bool Eventually(Condition condition) {
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A frame of 500 x 500 pixels whose answer is a heatmap of 1,000,000 bytes.
v1::DetectStreamRequest FrameWithLargeAnswer(int number) {
  constexpr uint32_t kSide = 500;
  v1::DetectStreamRequest message;
  v1::DetectRequest& request = *message.mutable_request();
  request.set_request_id(absl::StrCat(number));
  request.mutable_frame()->set_width(kSide);
  request.mutable_frame()->set_height(kSide);
  request.mutable_frame()->set_pixel_format(v1::PIXEL_FORMAT_MONO8);
  request.mutable_frame()->set_data(std::string(kSide * kSide, 'x'));
  request.mutable_outputs()->set_heatmap(v1::HEATMAP_FORMAT_FLOAT32);
  request.mutable_outputs()->set_resolution(v1::RESOLUTION_ORIGINAL);
  return message;
}

TEST(DetectStreamTest, AnImageOverItsLimitIsRefusedAloneWithTheKey) {
  WireServer server;
  Stream stream(server);
  // The default limits: an image of image.max_bytes + 1 bytes, and one that fills the message.
  const auto limit = static_cast<size_t>(model::ImageLimits().max_bytes);
  const auto message = static_cast<size_t>(EndpointOptions().max_message_bytes);
  ASSERT_TRUE(stream.SendRaw("over", std::string(limit + 1, 'x')));
  ASSERT_TRUE(stream.SendRaw("far over", std::string(message - 1024, 'x')));
  ASSERT_TRUE(stream.Send(7));
  stream.WritesDone();
  const auto answers = stream.ReadAll();
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_THAT(answers, SizeIs(3));
  for (const char* id : {"over", "far over"}) {
    const google::rpc::Status& error = answers.at(id).error();
    EXPECT_EQ(error.code(), grpc::StatusCode::INVALID_ARGUMENT) << error.message();
    EXPECT_EQ(ReasonOf(error), "IMAGE_BYTES_TOO_LARGE");
    EXPECT_EQ(FieldOf(error), "encoded");
    EXPECT_THAT(error.message(), HasSubstr("image.max_bytes"));
  }
  EXPECT_TRUE(answers.at("7").has_detection());
}

TEST(DetectStreamTest, AnswersThatNobodyReadsHaveABound) {
  // More answers than the transport holds for a client that does not read: it took 3 to 7 of them.
  constexpr int kFrames = 32;
  constexpr int64_t kMaxOutput = 4'000'000;
  WireOptions options;
  options.pipeline.output.max_bytes = kMaxOutput;
  options.service.stream_window = kFrames;
  WireServer server(options);
  Stream stream(server);
  for (int i = 0; i < kFrames; ++i) ASSERT_TRUE(stream.SendMessage(FrameWithLargeAnswer(i)));
  stream.WritesDone();
  // None of the answers is read.
  const prometheus::Counter& refused = server.pipeline.metrics.rejected.output_full;
  AwaitTrue("a frame that is refused", [&] { return refused.Value() > 0; });
  EXPECT_GT(server.pipeline.output_budget.bytes(), 0);
  EXPECT_LE(server.pipeline.output_budget.bytes(), kMaxOutput);

  int detections = 0;
  for (const auto& [id, answer] : stream.ReadAll()) {
    if (answer.has_detection()) {
      ++detections;
      EXPECT_THAT(answer.detection().heatmap().data(), SizeIs(1'000'000));
    } else {
      EXPECT_EQ(answer.error().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_EQ(ReasonOf(answer.error()), "OUTPUT_FULL");
    }
  }
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(detections, kFrames - refused.Value());
  EXPECT_TRUE(Eventually([&] { return server.pipeline.output_budget.bytes() == 0; }));
}

TEST(DetectStreamTest, AClientThatLeavesReturnsTheBytesOfItsAnswers) {
  WireOptions options;
  options.pipeline.output.max_bytes = 4'000'000;
  WireServer server(options);
  {
    Stream stream(server);
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(stream.SendMessage(FrameWithLargeAnswer(i)));
    ASSERT_TRUE(Eventually([&] { return server.pipeline.output_budget.bytes() > 2'000'000; }));
    stream.context.TryCancel();
    EXPECT_FALSE(stream.Finish().ok());
  }
  EXPECT_TRUE(Eventually([&] { return server.pipeline.output_budget.bytes() == 0; }));
}

TEST(DetectStreamTest, ABadFrameGetsAnErrorAndTheStreamGoesOn) {
  WireServer server;
  Stream stream(server);
  std::thread writer([&stream] {
    for (uint32_t marker = 1; marker <= 60; ++marker) {
      if (marker % 3 == 0) {
        stream.SendRaw(absl::StrCat(marker), "no picture");
      } else {
        stream.Send(marker);
      }
    }
    stream.WritesDone();
  });
  const auto answers = stream.ReadAll();
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_THAT(answers, SizeIs(60));
  for (uint32_t marker = 1; marker <= 60; ++marker) {
    SCOPED_TRACE(marker);
    const v1::DetectStreamResponse& answer = answers.at(absl::StrCat(marker));
    if (marker % 3 == 0) {
      ASSERT_TRUE(answer.has_error());
      EXPECT_EQ(answer.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_EQ(FieldOf(answer.error()), "encoded");
      EXPECT_EQ(ReasonOf(answer.error()), "IMAGE_FORMAT_UNSUPPORTED");
    } else {
      ASSERT_TRUE(answer.has_detection());
      EXPECT_EQ(answer.detection().score(), FakeScore(marker));
      EXPECT_EQ(answer.detection().request_id(), answer.request_id());
    }
  }
}

TEST(DetectStreamTest, AnEmptyStreamEndsWithOk) {
  WireServer server;
  Stream stream(server);
  stream.WritesDone();
  EXPECT_THAT(stream.ReadAll(), SizeIs(0));
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(DetectStreamTest, AnswersComeAsTheyAreReady) {
  WireServer server(
      {.pipeline = {.batching = {.batch = {.max_batch = 1}}, .workers = {.workers = 2}}});
  Event let_go;
  server.model().SetTwist([&let_go](const auto& markers, auto&) {
    if (markers.front() == 1) let_go.Wait();
  });
  Stream stream(server);
  ASSERT_TRUE(stream.Send(1));
  ASSERT_TRUE(stream.Send(2));
  v1::DetectStreamResponse response;
  ASSERT_TRUE(stream.Read(response));
  EXPECT_EQ(response.request_id(), "2");
  let_go.Set();
  ASSERT_TRUE(stream.Read(response));
  EXPECT_EQ(response.request_id(), "1");
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(DetectStreamTest, ReadsNoMoreThanItsWindow) {
  constexpr int kWindow = 3;
  constexpr int kFrames = 40;
  WireServer server({.service = {.stream_window = kWindow}});
  std::atomic<int64_t> most = 0;
  std::atomic<bool> first = true;
  server.model().SetTwist([&](const auto&, auto&) {
    // The first batch waits until the window is full, so that it is known to fill.
    if (first.exchange(false)) AwaitInFlight(server, kWindow);
    most = std::max(most.load(), server.pipeline.admission.in_flight());
  });
  Stream stream(server);
  std::thread writer([&stream] {
    for (uint32_t marker = 1; marker <= kFrames; ++marker) stream.Send(marker);
    stream.WritesDone();
  });
  EXPECT_THAT(stream.ReadAll(), SizeIs(kFrames));
  writer.join();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(most.load(), kWindow);
}

TEST(DetectStreamTest, DrainAnswersWhatWasReadAndEndsWithOk) {
  WireServer server;
  server.model().Hold();
  Stream stream(server);
  for (uint32_t marker : {1, 2, 3}) ASSERT_TRUE(stream.Send(marker));
  AwaitInFlight(server, 3);
  server.service.Drain();
  server.model().Release();
  // The client never said that it is done.
  const auto answers = stream.ReadAll();
  EXPECT_THAT(answers, SizeIs(3));
  for (const auto& [id, answer] : answers) EXPECT_TRUE(answer.has_detection()) << id;
  EXPECT_TRUE(stream.Finish().ok());

  Stream late(server);
  EXPECT_THAT(late.ReadAll(), SizeIs(0));
  const grpc::Status refused = late.Finish();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(DetailsOf(refused)), "DRAINING");
}

TEST(DetectStreamTest, DrainEndsAnIdleStream) {
  WireServer server;
  Stream stream(server);
  ASSERT_TRUE(stream.Send(1));
  v1::DetectStreamResponse response;
  ASSERT_TRUE(stream.Read(response));
  server.service.Drain();
  EXPECT_FALSE(stream.Read(response));
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(DetectStreamTest, WhatAClientLeftBehindIsDropped) {
  WireServer server;
  server.model().Hold();
  Stream stream(server);
  for (uint32_t marker : {1, 2, 3, 4}) ASSERT_TRUE(stream.Send(marker));
  server.model().AwaitBatches(1);
  AwaitInFlight(server, 4);
  stream.context.TryCancel();
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  const size_t on_the_model = server.model().Seen().size();
  AwaitInFlight(server, static_cast<int64_t>(on_the_model));
  server.model().Release();
  AwaitInFlight(server, 0);
  AwaitTrue("every stream to end", [&] { return server.pipeline.metrics.streams.Value() == 0; });
  EXPECT_THAT(server.model().Seen(), SizeIs(on_the_model));
}

TEST(DetectStreamTest, OverloadIsToldFrameByFrame) {
  WireServer server({.pipeline = {.admission = {.max_images = 1}}});
  server.model().Hold();
  Stream stream(server);
  ASSERT_TRUE(stream.Send(1));
  AwaitInFlight(server, 1);
  ASSERT_TRUE(stream.Send(2));
  v1::DetectStreamResponse response;
  ASSERT_TRUE(stream.Read(response));
  EXPECT_EQ(response.request_id(), "2");
  EXPECT_EQ(response.error().code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(response.error()), "QUEUE_FULL");
  EXPECT_GT(Find<google::rpc::RetryInfo>(response.error()).retry_delay().nanos() +
                Find<google::rpc::RetryInfo>(response.error()).retry_delay().seconds(),
            0);
  server.model().Release();
  ASSERT_TRUE(stream.Read(response));
  EXPECT_EQ(response.request_id(), "1");
  EXPECT_TRUE(response.has_detection());
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
}

TEST(DetectStreamTest, AFrameThatWaitsTooLongIsAnsweredInBand) {
  WireServer server({.pipeline = {.detector = {.default_deadline = absl::Milliseconds(50)}}});
  server.model().Hold();
  v1::DetectRequest holder;
  holder.set_encoded(MarkedBmp(9));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(5));
  v1::DetectResponse held;
  std::thread other([&] { EXPECT_TRUE(server.stub->Detect(&context, holder, &held).ok()); });
  server.model().AwaitBatches(1);

  Stream stream(server);
  ASSERT_TRUE(stream.Send(1));
  v1::DetectStreamResponse response;
  ASSERT_TRUE(stream.Read(response));
  EXPECT_EQ(response.error().code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(ReasonOf(response.error()), "DEADLINE_EXPIRED");
  server.model().Release();
  other.join();
  stream.WritesDone();
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_THAT(server.model().Seen(), ElementsAre(9));
}

TEST(DetectStreamTest, ManyStreamsAtOnceGetTheirOwnAnswers) {
  constexpr int kStreams = 6;
  constexpr int kFrames = 60;
  WireServer server({.pipeline = {.workers = {.workers = 2}}, .service = {.stream_window = 4}});
  std::vector<std::thread> clients;
  for (int client = 0; client < kStreams; ++client) {
    clients.emplace_back([&, client] {
      Stream stream(server);
      std::thread writer([&stream, client] {
        for (int i = 0; i < kFrames; ++i) stream.Send(client * 1000 + i);
        stream.WritesDone();
      });
      if (client == 0) {
        v1::DetectStreamResponse response;
        EXPECT_TRUE(stream.Read(response));
        stream.context.TryCancel();  // one goes away in the middle
      } else {
        const auto answers = stream.ReadAll();
        EXPECT_THAT(answers, SizeIs(kFrames));
        for (const auto& [id, answer] : answers) {
          EXPECT_EQ(answer.detection().score(), FakeScore(std::stoul(id)));
        }
      }
      writer.join();
      EXPECT_EQ(stream.Finish().ok(), client != 0);
    });
  }
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace proad::server
