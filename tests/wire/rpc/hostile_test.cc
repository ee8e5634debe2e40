// Clients that are broken, or mean harm: whatever they do on their connections, others are served,
// and nothing of theirs stays.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "server/server.h"
#include "tests/support/fake_store.h"
#include "tests/support/pictures.h"
#include "tests/support/raw_connection.h"
#include "tests/support/sync.h"
#include "tests/support/training_server.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

namespace http2 = testing::http2;
using testing::RawConnection;

constexpr char kDetect[] = "/proad.v1.DetectionService/Detect";
constexpr char kDetectStream[] = "/proad.v1.DetectionService/DetectStream";

class HostileTest : public ::testing::Test {
 protected:
  HostileTest() {
    SetLogLevel(LogLevel::kOff);
    Config config;
    config.log_level = LogLevel::kOff;
    config.store = store_.path();
    config.endpoint.listen = "127.0.0.1:0";
    config.endpoint.metrics_listen = "127.0.0.1:0";
    config.endpoint.handshake_timeout = absl::Seconds(1);
    config.endpoint.max_memory = 80 << 20;
    config.admission.max_images = 4096;  // so that nobody is refused for what others do
    config.models.follow_interval = absl::ZeroDuration();
    config.shutdown.lame_duck = absl::ZeroDuration();
    config.training.enabled = false;
    WriteFakeVersion(store_.path(), "pcb", "1");
    Event ready;
    server_ = Server::Start(Resolve(config, ThisMachine("cpu")), LoadFake, OnTheCpu, [&ready] {
                ready.Set();
              }).value();
    ready.Wait();
    const std::string& address = server_->grpc_address();
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port_));
    stub_ = v1::DetectionService::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    ExpectServed();
    files_ = Metric("process_open_fds");
  }
  ~HostileTest() override {
    over_ = true;
    if (neighbour_.joinable()) neighbour_.join();
  }

  void ExpectServed() {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(60)));
    v1::DetectRequest request;
    request.set_encoded(MarkedBmp(7));
    v1::DetectResponse response;
    const grpc::Status status = stub_->Detect(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.score(), FakeScore(7));
    ++served_;
  }

  // Another client that is there all the time, and must not notice anything.
  void StartNeighbour() {
    neighbour_ = std::thread([this] {
      while (!over_) ExpectServed();
    });
  }

  double Metric(const std::string& name) {
    const std::string& address = server_->metrics_address();
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
    RawConnection connection(port);
    connection.Send("GET /metrics HTTP/1.0\r\n\r\n");
    const std::string text = connection.ReadToEnd();
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      double value = 0;
      const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
      if (words.size() == 2 && words[0] == name && absl::SimpleAtod(words[1], &value)) return value;
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }

  // Returns once the server holds nothing for connections that ended.
  void AwaitPeace() {
    AwaitTrue("the server to release what ended connections held", [this] {
      return Metric("proad_streams") == 0 && Metric("proad_inflight") == 0 &&
             Metric("proad_inflight_bytes") == 0 && Metric("process_open_fds") <= files_ + 8;
    });
    ExpectServed();
  }

  testing::TempDirectory store_;
  std::unique_ptr<Server> server_;
  int port_ = 0;
  std::unique_ptr<v1::DetectionService::Stub> stub_;
  double files_ = 0;  // open ones of a server with one client
  std::atomic<bool> over_ = false;
  std::atomic<int> served_ = 0;
  std::thread neighbour_;
};

TEST_F(HostileTest, WhoSaysNothingIsHungUpOn) {
  StartNeighbour();
  std::vector<RawConnection> silent;
  for (int i = 0; i < 100; ++i) silent.emplace_back(port_);
  for (RawConnection& connection : silent) connection.ReadToEnd();
  silent.clear();
  over_ = true;
  neighbour_.join();
  AwaitPeace();
}

TEST_F(HostileTest, NonsenseIsHungUpOn) {
  StartNeighbour();
  std::minstd_rand random(1);
  std::string noise;
  for (int i = 0; i < 4000; ++i) noise.push_back(static_cast<char>(random()));
  const std::string preface(http2::kPreface);
  const std::string big(1 << 20, 'x');
  for (const std::string& nonsense :
       {noise, std::string("GET / HTTP/1.1\r\nHost: here\r\n\r\n"), preface + noise,
        preface + http2::Settings() + noise,
        // Frames that are too long, of a stream that is not there, or of no known shape.
        preface + http2::Settings() + http2::Frame(http2::kData, 0, 1, big),
        preface + http2::Settings() + http2::Frame(http2::kSettings, 0, 0, "12345"),
        preface + http2::Settings() + http2::Frame(http2::kContinuation, 4, 1, "abc")}) {
    RawConnection connection(port_);
    connection.Send(nonsense);
    connection.ReadToEnd();
  }
  over_ = true;
  neighbour_.join();
  AwaitPeace();
}

TEST_F(HostileTest, ManyConnectionsComeAndGo) {
  StartNeighbour();
  const int before = served_;
  for (int i = 0; i < 300; ++i) {  // both ends are this process, which may open a thousand files
    RawConnection connection(port_);
    if (i % 3 == 1) connection.Send(std::string(http2::kPreface, 10));
    if (i % 3 == 2) connection.Reset();
  }
  AwaitTrue("an answer to the honest client", [&] { return served_ != before; });
  over_ = true;
  neighbour_.join();
  AwaitPeace();
}

TEST_F(HostileTest, WhatBreaksOffInTheMiddleLeavesNothing) {
  StartNeighbour();
  v1::DetectRequest request;
  request.set_encoded(MarkedBmp(3));
  const std::string whole = request.SerializeAsString();
  for (int i = 0; i < 60; ++i) {
    RawConnection connection(port_);
    std::string bytes = absl::StrCat(http2::kPreface, http2::Settings());
    for (uint32_t stream = 1; stream < 20; stream += 2) {
      bytes += http2::Call(stream, i % 2 ? kDetect : kDetectStream);
      if (stream % 3 == 0) bytes += http2::Message(stream, whole);
      bytes += http2::Message(stream, whole.substr(0, whole.size() / 2),
                              static_cast<uint32_t>(whole.size()));
      if (stream % 5 == 0) {
        bytes += http2::Frame(http2::kReset, 0, stream, http2::BigEndian(8, 4));
      }
    }
    if (i % 4 == 3) bytes.resize(bytes.size() - 7);  // in the middle of a frame, too
    connection.Send(bytes);
    if (i % 3 == 0) connection.Reset();
  }
  over_ = true;
  neighbour_.join();
  AwaitPeace();
}

TEST_F(HostileTest, WhoDoesNotReadIsNotReadFrom) {
  StartNeighbour();
  v1::DetectStreamRequest frame;
  frame.mutable_request()->set_encoded(MarkedBmp(3));
  frame.mutable_request()->mutable_outputs()->set_heatmap(v1::HEATMAP_FORMAT_FLOAT32);
  frame.mutable_request()->mutable_outputs()->set_resolution(v1::RESOLUTION_ORIGINAL);
  const std::string message = frame.SerializeAsString();
  std::vector<RawConnection> slow;
  for (int i = 0; i < 20; ++i) {
    RawConnection& connection = slow.emplace_back(port_);
    std::string bytes =
        absl::StrCat(http2::kPreface, http2::SettingsWithWindow(0), http2::Call(1, kDetectStream));
    for (int j = 0; j < 100; ++j) bytes += http2::Message(1, message);
    connection.Send(bytes);
  }
  const int before = served_;
  AwaitTrue("20 answers to the honest client", [&] { return served_ >= before + 20; });
  over_ = true;
  neighbour_.join();
  // Each has as many frames accepted as its window holds, at most. Those hold no place once they
  // are answered, though nobody fetches the answers.
  AwaitTrue("proad_inflight to be 0", [&] { return Metric("proad_inflight") == 0; });
  EXPECT_LE(Metric("proad_requests_total{code=\"OK\",rpc=\"DetectStream\"}"),
            20 * Config().stream_window);
  slow.clear();
  AwaitPeace();
}

}  // namespace
}  // namespace proad::server
