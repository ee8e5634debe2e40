// A whole server on free ports of the loopback device, over a store of fake versions.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <proad/v1/detection.grpc.pb.h>
#include <proad/v1/model.grpc.pb.h>

#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "server/config.h"
#include "server/server.h"
#include "server/serving/servable_model.h"
#include "server/telemetry/log.h"
#include "tests/support/fake_model.h"
#include "tests/support/fake_store.h"
#include "tests/support/pictures.h"
#include "tests/support/sync.h"
#include "tests/support/temp_directory.h"
#include "tests/support/training_server.h"
#include "tests/support/wire_server.h"

namespace proad::server {

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    const testing::TempDirectory other;
    model_->SetHash(WriteFakeVersion(other.path(), "pcb", "1").hash);  // the same in every store
    config_.log_level = LogLevel::kOff;
    config_.store = store_.path();
    config_.endpoint.listen = "127.0.0.1:0";
    config_.endpoint.metrics_listen = "127.0.0.1:0";
    config_.shutdown.lame_duck = absl::ZeroDuration();
    config_.training.jobs.jobs = training_ / "jobs";
    config_.training.datasets.root = training_ / "datasets";
    SetLogLevel(LogLevel::kOff);
  }
  ~ServerTest() override {
    model_->Release();
    server_.reset();
  }

  // One version, pcb@1, that is model_.
  void Start() {
    WriteFakeVersion(store_.path(), "pcb", "1");
    StartOnly();
  }
  void StartOnly() {
    auto server = Server::Start(
        Resolve(config_, ThisMachine("cpu")),
        [this](const std::filesystem::path& directory) { return loader_(directory); }, OnTheCpu,
        [this] { ready_.Set(); });
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->grpc_address(), grpc::InsecureChannelCredentials());
    detection_ = v1::DetectionService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }

  client::Health HealthOf(const std::string& service) {
    const auto health = client::CheckHealth(channel_, service, absl::Seconds(30));
    EXPECT_TRUE(health.ok()) << health.status();
    return health.value_or(client::Health::kUnknownService);
  }

  static v1::DetectRequest Request(uint32_t marker) {
    v1::DetectRequest request;
    request.set_encoded(MarkedBmp(marker));
    return request;
  }

  grpc::Status Detect(uint32_t marker, v1::DetectResponse* response = nullptr,
                      absl::Duration deadline = absl::Seconds(60)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    v1::DetectResponse ignored;
    return detection_->Detect(&context, Request(marker), response != nullptr ? response : &ignored);
  }

  // A Detect call that goes on in the background.
  std::future<grpc::Status> DetectLater(uint32_t marker) {
    return std::async(std::launch::async, [this, marker] { return Detect(marker); });
  }

  // Returns when new calls are refused because the server drains.
  void AwaitDraining() {
    grpc::Status status;
    do {
      status = Detect(1, nullptr, absl::Milliseconds(50));
    } while (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
    EXPECT_EQ(ReasonOf(DetailsOf(status)), "DRAINING");
  }

  testing::TempDirectory store_;
  testing::TempDirectory training_;
  Config config_;
  const std::shared_ptr<FakeModel> model_ = std::make_shared<FakeModel>(StoredManifest("pcb", "1"));
  // pcb@1 is model_.
  ModelLoader loader_ = [this](const std::filesystem::path& directory) {
    const bool is_model = directory.parent_path().filename() == "pcb";
    return is_model ? ModelHandle(model_) : LoadFake(directory);
  };
  Event ready_{"the server to be ready"};
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::DetectionService::Stub> detection_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

}  // namespace proad::server
