// The C++ client library against a gRPC server that fails on request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/detection_client.h"
#include "client/error.h"
#include "client/heatmap.h"
#include "client/model_client.h"
#include "tests/support/scripted_service.h"

namespace proad::client {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::SizeIs;

proad::v1::DetectRequest Request(const std::string& script, double score = 0.5) {
  proad::v1::DetectRequest request;
  request.set_request_id("id");
  request.set_category(script);
  request.set_encoded(absl::StrCat("score=", score));
  return request;
}

class ClientLibrary : public ::testing::Test {
 protected:
  static CallOptions Quick() {
    CallOptions call;
    call.retry.initial_backoff = absl::Milliseconds(1);
    return call;
  }

  proad::testing::ScriptedServer server_;
  std::shared_ptr<grpc::Channel> channel_ = Connect({.address = server_.address()});
  DetectionClient client_{channel_, Quick()};
};

TEST_F(ClientLibrary, Detects) {
  const auto detection = client_.Detect(Request(""));
  ASSERT_TRUE(detection.ok()) << detection.status();
  EXPECT_EQ(detection->request_id(), "id");
  EXPECT_DOUBLE_EQ(detection->score(), 0.5);
  EXPECT_EQ(detection->verdict(), proad::v1::VERDICT_UNDECIDED);
}

TEST_F(ClientLibrary, ATooLargeRequestIsRefusedBeforeItIsSent) {
  CallOptions call = Quick();
  call.max_request_bytes = 10'000;
  DetectionClient client(channel_, call);
  proad::v1::DetectRequest large = Request("");
  large.mutable_encoded()->append(std::string(10'000, 'x'));
  const absl::Status refused = client.Detect(large).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailsOf(refused).reason, "MESSAGE_TOO_LARGE");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("server.max_message_bytes"));
  EXPECT_EQ(server_.detection().Calls(""), 0);

  // On a stream, the other images are answered.
  auto stream = client.OpenStream();
  ASSERT_TRUE(stream->Send(Request("", 0.25)).ok());
  EXPECT_EQ(stream->Send(large).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(stream->Send(Request("", 0.75)).ok());
  stream->CloseSending();
  std::vector<double> scores;
  while (const auto answer = stream->Receive()) {
    ASSERT_TRUE(answer->detection.ok()) << answer->detection.status();
    scores.push_back(answer->detection->score());
  }
  EXPECT_TRUE(stream->status().ok()) << stream->status();
  EXPECT_THAT(scores, ElementsAre(0.25, 0.75));
}

TEST_F(ClientLibrary, UnavailableIsRetried) {
  const auto detection = client_.Detect(Request("unavailable:2"));
  EXPECT_TRUE(detection.ok()) << detection.status();
  EXPECT_EQ(server_.detection().Calls("unavailable:2"), 3);
}

TEST_F(ClientLibrary, GivesUpAfterTheLastAttempt) {
  const auto detection = client_.Detect(Request("unavailable"));
  EXPECT_EQ(detection.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_.detection().Calls("unavailable"), CallOptions().retry.max_attempts);
}

TEST_F(ClientLibrary, OverloadWithARetryTimeIsRetried) {
  for (const std::string script : {"busy:1:5", "pushback:2:5"}) {
    const auto detection = client_.Detect(Request(script));
    EXPECT_TRUE(detection.ok()) << script << ": " << detection.status();
  }
  EXPECT_EQ(server_.detection().Calls("busy:1:5"), 2);
  EXPECT_EQ(server_.detection().Calls("pushback:2:5"), 3);
}

TEST_F(ClientLibrary, ACallEndedByTheMemoryLimitIsRetried) {
  const auto detection = client_.Detect(Request("reset:2"));
  EXPECT_TRUE(detection.ok()) << detection.status();
  EXPECT_EQ(server_.detection().Calls("reset:2"), 3);
}

TEST_F(ClientLibrary, ARetryTimePastTheDeadlineIsReturnedAtOnce) {
  CallOptions call = Quick();
  call.deadline = absl::Milliseconds(800);
  const auto detection = client_.Detect(Request("busy:1:900"), call);
  EXPECT_EQ(detection.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(server_.detection().Calls("busy:1:900"), 1);
  const ErrorDetails details = DetailsOf(detection.status());
  EXPECT_EQ(details.reason, "QUEUE_FULL");
  EXPECT_EQ(details.retry_after, absl::Milliseconds(900));
}

TEST_F(ClientLibrary, OtherErrorsAreNotRetried) {
  const std::pair<std::string, absl::StatusCode> kTable[] = {
      {"full", absl::StatusCode::kResourceExhausted},
      {"invalid", absl::StatusCode::kInvalidArgument},
      {"unknown", absl::StatusCode::kNotFound},
      {"internal", absl::StatusCode::kInternal},
      {"expired", absl::StatusCode::kDeadlineExceeded},
      {"cancelled", absl::StatusCode::kCancelled},
  };
  for (const auto& [script, code] : kTable) {
    const auto detection = client_.Detect(Request(script));
    EXPECT_EQ(detection.status().code(), code) << script;
    EXPECT_EQ(server_.detection().Calls(script), 1) << script;
  }
}

TEST_F(ClientLibrary, ErrorsNameFieldAndReason) {
  const auto detection = client_.Detect(Request("invalid"));
  const ErrorDetails details = DetailsOf(detection.status());
  EXPECT_EQ(details.reason, "STRIDE_TOO_SMALL");
  ASSERT_THAT(details.fields, SizeIs(1));
  EXPECT_EQ(details.fields[0].field, "frame.stride");
  EXPECT_EQ(Describe(detection.status()),
            "INVALID_ARGUMENT: frame.stride: 10 is less than the 30 bytes of a row");
}

TEST_F(ClientLibrary, HeatmapsAreEqualInEveryRawFormat) {
  for (const auto format : {proad::v1::HEATMAP_FORMAT_FLOAT32, proad::v1::HEATMAP_FORMAT_U16_SCALED,
                            proad::v1::HEATMAP_FORMAT_U8_SCALED}) {
    auto request = Request("");
    request.mutable_outputs()->set_heatmap(format);
    const auto detection = client_.Detect(request);
    ASSERT_TRUE(detection.ok()) << detection.status();
    const auto map = DecodeHeatmap(detection->heatmap());
    ASSERT_TRUE(map.ok()) << map.status();
    ASSERT_THAT(*map, SizeIs(12));
    EXPECT_THAT((*map)[0], FloatNear(0.25f, 1e-6f));
    EXPECT_THAT((*map)[11], FloatNear(0.36f, 1e-6f));
  }
}

TEST_F(ClientLibrary, AnswersAboveFourMegabytesArrive) {
  auto request = Request("");
  request.set_request_id(std::string(6 << 20, 'x'));
  const auto detection = client_.Detect(request);
  ASSERT_TRUE(detection.ok()) << detection.status();
  EXPECT_THAT(detection->request_id(), SizeIs(6 << 20));
}

TEST_F(ClientLibrary, AStreamAnswersEveryImageIncludingInvalidOnes) {
  constexpr int kImages = 200;
  auto stream = client_.OpenStream();
  std::jthread sender([&] {
    for (int i = 0; i < kImages; ++i) {
      auto request = Request(i % 10 == 3 ? "invalid" : i % 10 == 5 ? "late" : "", i);
      request.set_request_id(absl::StrCat(i));
      ASSERT_TRUE(stream->Send(std::move(request)).ok());
    }
    stream->CloseSending();
  });
  std::set<std::string> answered;
  int errors = 0;
  std::vector<int> order;
  while (const auto answer = stream->Receive()) {
    EXPECT_TRUE(answered.insert(answer->request_id).second) << answer->request_id;
    const int image = std::stoi(answer->request_id);
    order.push_back(image);
    if (image % 10 == 3) {
      ++errors;
      EXPECT_EQ(DetailsOf(answer->detection.status()).reason, "STRIDE_TOO_SMALL");
    } else {
      ASSERT_TRUE(answer->detection.ok()) << answer->detection.status();
      EXPECT_DOUBLE_EQ(answer->detection->score(), image);
    }
  }
  EXPECT_TRUE(stream->status().ok()) << stream->status();
  EXPECT_THAT(answered, SizeIs(kImages));
  EXPECT_EQ(errors, kImages / 10);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(ClientLibrary, ABrokenStreamReturnsItsError) {
  auto stream = client_.OpenStream();
  ASSERT_TRUE(stream->Send(Request("")).ok());
  ASSERT_TRUE(stream->Receive());
  ASSERT_TRUE(stream->Send(Request("end")).ok());
  EXPECT_FALSE(stream->Receive());
  EXPECT_EQ(stream->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(stream->status().message(), "going away");
  EXPECT_EQ(stream->Send(Request("")).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(stream->Receive());
}

TEST_F(ClientLibrary, AStreamCanBeCancelledAndDestroyed) {
  auto stream = client_.OpenStream();
  ASSERT_TRUE(stream->Send(Request("")).ok());
  ASSERT_TRUE(stream->Receive());
  stream->Cancel();
  EXPECT_FALSE(stream->Receive());
  EXPECT_EQ(stream->status().code(), absl::StatusCode::kCancelled);
  auto dropped = client_.OpenStream();
  ASSERT_TRUE(dropped->Send(Request("late")).ok());
  dropped.reset();
  EXPECT_TRUE(client_.Detect(Request("")).ok());
}

TEST_F(ClientLibrary, ManyThreadsShareAClient) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const auto detection = client_.Detect(Request("", t * 100 + i));
        ASSERT_TRUE(detection.ok()) << detection.status();
        EXPECT_DOUBLE_EQ(detection->score(), t * 100 + i);
      }
    });
  }
}

TEST_F(ClientLibrary, ListsModelsOverAllPages) {
  const ModelClient models(channel_);
  const auto all = models.ListModels();
  ASSERT_TRUE(all.ok()) << all.status();
  std::vector<std::string> names;
  for (const auto& model : *all) {
    names.push_back(
        absl::StrCat(model.model_version().name(), "@", model.model_version().version()));
  }
  EXPECT_THAT(names, ElementsAre("other@7", "proad-tiny@2", "proad-tiny@1"));
  const auto card = models.GetModel("");
  ASSERT_TRUE(card.ok()) << card.status();
  EXPECT_EQ(card->trainable_parameters(), 4722432u);
  const auto missing = models.GetModel("nope");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("known: proad-tiny"));
}

TEST_F(ClientLibrary, ReadsTheHealth) {
  const auto whole = CheckHealth(channel_, "", absl::Seconds(10));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(*whole, Health::kServing);
  const auto unknown = CheckHealth(channel_, "nobody.Knows", absl::Seconds(10));
  ASSERT_TRUE(unknown.ok()) << unknown.status();
  EXPECT_EQ(*unknown, Health::kUnknownService);
}

TEST_F(ClientLibrary, WaitsForAServerThatIsNotServing) {
  EXPECT_TRUE(WaitUntilServing(channel_, absl::Seconds(10)).ok());
  server_.SetServing(false);
  const auto health = CheckHealth(channel_, "", absl::Seconds(10));
  ASSERT_TRUE(health.ok()) << health.status();
  EXPECT_EQ(*health, Health::kNotServing);
  const absl::Status early = WaitUntilServing(channel_, absl::Milliseconds(50));
  EXPECT_EQ(early.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(early.message()), HasSubstr("loading"));
  std::jthread later([&] { server_.SetServing(true); });
  EXPECT_TRUE(WaitUntilServing(channel_, absl::Seconds(60)).ok());
}

TEST(NoServer, IsUnavailableWithAdvice) {
  // Port 1 needs privileges and a very old service.
  const auto channel = Connect({.address = "127.0.0.1:1"});
  const absl::Status reachable =
      WaitUntilReachable(*channel, "127.0.0.1:1", absl::Milliseconds(200));
  EXPECT_EQ(reachable.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(reachable.message()), HasSubstr("127.0.0.1:1"));
  CallOptions call;
  call.retry.initial_backoff = absl::Milliseconds(1);
  const auto detection = DetectionClient(channel, call).Detect(Request(""));
  EXPECT_EQ(detection.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace proad::client
