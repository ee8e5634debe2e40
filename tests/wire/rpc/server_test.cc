#include "server/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <proad/v1/detection.grpc.pb.h>
#include <proad/v1/model.grpc.pb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "tests/support/fake_model.h"
#include "tests/support/server_fixture.h"
#include "tests/support/sync.h"
#include "tests/support/training_server.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using client::Health;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kDetection[] = "proad.v1.DetectionService";
constexpr char kModel[] = "proad.v1.ModelService";
constexpr char kTraining[] = "proad.v1.TrainingService";

// What an HTTP server answers to GET `path`, headers included.
std::string HttpGet(const std::string& address, const std::string& path) {
  const size_t colon = address.rfind(':');
  addrinfo* found = nullptr;
  if (getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), nullptr,
                  &found) != 0) {
    return "";
  }
  const int fd = socket(found->ai_family, SOCK_STREAM, 0);
  std::string answer;
  if (connect(fd, found->ai_addr, found->ai_addrlen) == 0) {
    const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\n\r\n");
    send(fd, request.data(), request.size(), 0);
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  freeaddrinfo(found);
  return answer;
}

TEST_F(ServerTest, DetectsOnTheDefaultModel) {
  Start();
  ready_.Wait();
  v1::DetectResponse response;
  const grpc::Status status = Detect(1 << 20, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.score(), FakeScore(1 << 20));
  EXPECT_EQ(response.model_version().name(), "pcb");
  EXPECT_EQ(response.model_version().version(), "1");
}

TEST_F(ServerTest, HealthFollowsTheDefaultModel) {
  Event loading, go_on;
  loader_ = [&](const fs::path&) {
    loading.Set();
    go_on.Wait();
    return ModelHandle(model_);
  };
  Start();
  loading.Wait();
  EXPECT_EQ(HealthOf(""), Health::kNotServing);
  EXPECT_EQ(HealthOf(kDetection), Health::kNotServing);
  EXPECT_EQ(HealthOf(kModel), Health::kServing);
  EXPECT_EQ(HealthOf("no.such.Service"), Health::kUnknownService);
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"), HasSubstr("\nproad_ready 0\n"));
  const grpc::Status early = Detect(1);
  EXPECT_EQ(early.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(DetailsOf(early)), "NO_MODEL_READY");
  EXPECT_TRUE(DetailsOf(early).details_size() > 0);

  go_on.Set();
  ready_.Wait();
  EXPECT_EQ(HealthOf(""), Health::kServing);
  EXPECT_EQ(HealthOf(kDetection), Health::kServing);
  EXPECT_TRUE(Detect(1).ok());
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"), HasSubstr("\nproad_ready 1\n"));
}

TEST_F(ServerTest, ADefaultModelThatFailsIsNeverServing) {
  Event failed;
  loader_ = [&](const fs::path&) {
    failed.Set();
    return absl::DataLossError("model.safetensors is damaged");
  };
  Start();
  failed.Wait();
  grpc::Status status;
  do {
    status = Detect(1);
  } while (status.error_message().find("being loaded") != std::string::npos);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("model.safetensors is damaged"));
  EXPECT_EQ(HealthOf(""), Health::kNotServing);
  EXPECT_FALSE(ready_.IsSet());
}

TEST_F(ServerTest, ALameDuckSaysNotServingAndServes) {
  Start();
  ready_.Wait();
  server_->EnterLameDuck();
  for (const char* service : {"", kDetection, kModel, kTraining}) {
    EXPECT_EQ(HealthOf(service), Health::kNotServing) << service;
  }
  EXPECT_TRUE(Detect(1).ok());
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"), HasSubstr("\nproad_ready 0\n"));
  server_->Stop();
  EXPECT_EQ(Detect(1).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"), IsEmpty());
}

TEST_F(ServerTest, StopAnswersEverythingThatWasAccepted) {
  config_.batching.batch.max_batch = 1;
  Start();
  ready_.Wait();
  model_->Hold();
  std::vector<std::future<grpc::Status>> calls;
  for (uint32_t marker = 1; marker <= 4; ++marker) calls.push_back(DetectLater(marker));
  grpc::ClientContext stream_context;
  const auto stream = detection_->DetectStream(&stream_context);
  for (uint32_t marker = 5; marker <= 8; ++marker) {
    v1::DetectStreamRequest frame;
    *frame.mutable_request() = Request(marker);
    frame.mutable_request()->set_request_id(absl::StrCat(marker));
    ASSERT_TRUE(stream->Write(frame));
  }
  // All eight are in: one with the model, the others waiting.
  while (HttpGet(server_->metrics_address(), "/metrics").find("\nproad_inflight 8\n") ==
         std::string::npos) {
  }

  std::thread stopping([this] { server_->Stop(); });
  AwaitDraining();
  model_->Release();
  for (auto& call : calls) {
    const grpc::Status status = call.get();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  int answered = 0;
  v1::DetectStreamResponse answer;
  while (stream->Read(&answer)) {
    EXPECT_TRUE(answer.has_detection()) << answer.error().message();
    ++answered;
  }
  EXPECT_EQ(answered, 4);
  const grpc::Status end = stream->Finish();
  EXPECT_TRUE(end.ok()) << end.error_message();
  stopping.join();
}

TEST_F(ServerTest, WhatStillWaitsAfterTheGraceIsRefusedNotForgotten) {
  config_.workers.workers = 1;
  config_.batching.batch.max_batch = 1;
  config_.shutdown.drain_grace = absl::Milliseconds(20);
  Start();
  ready_.Wait();
  model_->Hold();
  auto running = DetectLater(1);
  model_->AwaitBatches(1);
  auto waiting = DetectLater(2);
  while (HttpGet(server_->metrics_address(), "/metrics").find("\nproad_queue_depth 1\n") ==
         std::string::npos) {
  }
  std::thread stopping([this] { server_->Stop(); });
  const grpc::Status refused = waiting.get();
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE) << refused.error_message();
  EXPECT_EQ(ReasonOf(DetailsOf(refused)), "DRAINING");
  model_->Release();
  // Its call was ended by the shutdown, or answered just in time; it hangs in no case.
  running.get();
  stopping.join();
}

TEST_F(ServerTest, StopWhileAModelLoadsEndsWithIt) {
  Event loading, go_on;
  loader_ = [&](const fs::path&) {
    loading.Set();
    go_on.Wait();
    return ModelHandle(model_);
  };
  Start();
  loading.Wait();
  server_->EnterLameDuck();
  go_on.Set();
  server_->Stop();
  EXPECT_EQ(Detect(1).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ServerTest, ReflectionListsTheServices) {
  Start();
  grpc::GenericStub stub(channel_);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto await = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(await());
  const grpc::Slice list_services("\x3a\x01*", 3);  // ServerReflectionRequest.list_services = "*"
  call->Write(grpc::ByteBuffer(&list_services, 1), nullptr);
  ASSERT_TRUE(await());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  ASSERT_TRUE(await());
  grpc::Slice bytes;
  ASSERT_TRUE(answer.DumpToSingleSlice(&bytes).ok());
  const std::string text(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  EXPECT_THAT(text, AllOf(HasSubstr(kDetection), HasSubstr(kModel), HasSubstr(kTraining),
                          HasSubstr("grpc.health.v1.Health")));
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  await();
}

TEST_F(ServerTest, MetricsAreScraped) {
  Start();
  ready_.Wait();
  ASSERT_TRUE(Detect(1).ok());
  EXPECT_FALSE(Detect(1, nullptr, absl::Seconds(-1)).ok());
  const std::string text = HttpGet(server_->metrics_address(), "/metrics");
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK"));
  for (const char* line : {"proad_requests_total{code=\"OK\",rpc=\"Detect\"} 1\n",
                           "proad_request_seconds_count{rpc=\"Detect\"} 1\n",
                           "proad_stage_seconds_count{stage=\"queue\"} 1\n",
                           "proad_stage_seconds_count{stage=\"preprocess\"} 1\n",
                           "proad_stage_seconds_count{stage=\"batch_wait\"} 1\n",
                           "proad_stage_seconds_count{stage=\"inference\"} 1\n",
                           "proad_stage_seconds_count{stage=\"postprocess\"} ",
                           "proad_batch_dispatch_total{cause=",
                           "proad_verdicts_total{category=\"_none\",verdict=\"undecided\"} 1\n",
                           "proad_score_count{category=\"_none\"} 1\n",
                           "proad_batch_size_count 1\n",
                           "proad_queue_depth 0\n",
                           "proad_queue_oldest_seconds 0\n",
                           "proad_rejected_total{reason=\"queue_full\"} 0\n",
                           "proad_inflight 0\n",
                           "proad_inflight_bytes 0\n",
                           "proad_worker_busy_seconds_total{device=\"cpu\",worker=\"0\"} ",
                           "proad_model_info{hash=",
                           "proad_model_load_seconds_count 1\n",
                           "proad_build_info{",
                           "process_resident_memory_bytes "}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/other"), StartsWith("HTTP/1.1 404"));
}

TEST_F(ServerTest, MetricsMayBeOff) {
  config_.endpoint.metrics_listen = "";
  Start();
  ready_.Wait();
  EXPECT_EQ(server_->metrics_address(), "");
  EXPECT_TRUE(Detect(1).ok());
}

TEST_F(ServerTest, ARequestOverTheMessageLimitIsRefusedUnread) {
  config_.endpoint.max_message_bytes = 128 << 10;
  Start();
  ready_.Wait();
  v1::DetectRequest request;
  request.set_encoded(std::string(256 << 10, 'x'));
  grpc::ClientContext context;
  v1::DetectResponse response;
  const grpc::Status status = detection_->Detect(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Detect(1).ok()) << "the connection must survive";
}

TEST_F(ServerTest, WhatIsNotOfferedSaysSoByName) {
  config_.training.enabled = false;
  Start();
  ready_.Wait();
  grpc::ClientContext context;
  v1::CalibrateRequest request;
  request.set_dataset_path("parts");
  v1::CalibrateResponse response;
  const grpc::Status status = models_->Calibrate(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("training.enabled is false"));
  EXPECT_EQ(ReasonOf(DetailsOf(status)), "NOT_OFFERED");
  EXPECT_THAT(HttpGet(server_->metrics_address(), "/metrics"),
              HasSubstr("proad_requests_total{code=\"UNIMPLEMENTED\",rpc=\"Calibrate\"} 1\n"));
}

TEST_F(ServerTest, APortThatIsTakenIsAnError) {
  Start();
  for (const bool metrics : {false, true}) {
    Config second = config_;
    second.training.enabled = false;  // its jobs are the first one's
    (metrics ? second.endpoint.metrics_listen : second.endpoint.listen) =
        metrics ? server_->metrics_address() : server_->grpc_address();
    const auto server = Server::Start(Resolve(second, ThisMachine("cpu")), loader_, OnTheCpu);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(server.status().message()),
                AllOf(HasSubstr(metrics ? "server.metrics_listen" : "server.listen"),
                      HasSubstr(metrics ? server_->metrics_address() : server_->grpc_address())));
  }
}

TEST_F(ServerTest, AMissingStoreIsAnError) {
  config_.store = store_ / "missing";
  const auto server = Server::Start(Resolve(config_, ThisMachine("cpu")), loader_, OnTheCpu);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("missing"));
}

}  // namespace
}  // namespace proad::server
