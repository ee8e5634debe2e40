// A whole server on a free port of the loopback device that trains with fake_trainer, over a store
// of fake versions.
#pragma once

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <proad/v1/model.grpc.pb.h>
#include <proad/v1/training.grpc.pb.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/server.h"
#include "tests/support/dataset_files.h"
#include "tests/support/fake_store.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/paths.h"
#include "tests/support/sync.h"
#include "tests/support/wire_server.h"

namespace proad::server {

// A machine without any other device.
inline absl::StatusOr<std::string> OnTheCpu(const std::string& device) {
  if (device == "auto" || device == "cpu") return "cpu";
  return absl::FailedPreconditionError(absl::StrCat("there is no ", device, "; there is cpu"));
}

// MVTec-AD's layout with so many good pictures to train on, and two to test.
inline void WriteParts(const std::filesystem::path& root, const std::string& category,
                       int good = 20) {
  const auto add = [&](const std::string& folder, int number) {
    testing::WriteFile(root, absl::StrCat(category, "/", folder, "/", 100 + number, ".bmp"),
                       testing::SmallBmp(static_cast<uint8_t>(number)));
  };
  for (int i = 0; i < good; ++i) add("train/good", i);
  add("test/good", 0);
  add("test/bad", 0);
}

class TrainingServer {
 public:
  TrainingServer() {
    SetLogLevel(LogLevel::kOff);
    config.log_level = LogLevel::kOff;
    config.store = root / "models";
    config.endpoint.listen = "127.0.0.1:0";
    config.endpoint.metrics_listen = "";
    config.shutdown.lame_duck = absl::ZeroDuration();
    TrainingOptions& options = config.training;
    options.data_root = root / "data";
    options.encoders = root / "encoders";
    options.jobs.jobs = root / "jobs";
    options.jobs.trainer = proad::testing::BuildFolder() / "tests/unit/fake_trainer";
    options.jobs.poll = absl::Milliseconds(5);
    options.datasets.root = root / "datasets";
    options.datasets.min_free_bytes = 0;
    std::filesystem::create_directories(config.store);
    WriteParts(root / "data/parts", "pcb");
    testing::WriteFile(root / "encoders", "encoder-pyramid.safetensors", "weights");
  }
  ~TrainingServer() { Stop(); }

  void Start() {
    auto started = Server::Start(
        Resolve(config, ThisMachine("cpu")),
        [this](const std::filesystem::path& directory) { return loader(directory); }, OnTheCpu,
        [this] { ready.Set(); });
    ASSERT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    const auto channel =
        grpc::CreateChannel(server->grpc_address(), grpc::InsecureChannelCredentials());
    training = v1::TrainingService::NewStub(channel);
    models = v1::ModelService::NewStub(channel);
  }
  void Stop() { server.reset(); }

  // A unary call of `training` or `models`.
  template <typename Stub, typename Request, typename Response>
  static grpc::Status Call(const std::unique_ptr<Stub>& stub,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                           const Request& request, Response& response) {
    grpc::ClientContext context;
    return ((*stub).*method)(&context, request, &response);
  }

  // What most jobs ask for: 3 steps over data/parts.
  static v1::TrainJobSpec Spec() {
    v1::TrainJobSpec spec;
    spec.set_model_name("pcb");
    spec.set_dataset_path("parts");
    return spec;
  }

  grpc::Status Create(const v1::TrainJobSpec& spec, v1::TrainJob& job,
                      const std::string& request_id = "", bool validate_only = false) {
    v1::CreateTrainJobRequest request;
    *request.mutable_spec() = spec;
    request.set_request_id(request_id);
    request.set_validate_only(validate_only);
    v1::CreateTrainJobResponse response;
    const grpc::Status status =
        Call(training, &v1::TrainingService::Stub::CreateTrainJob, request, response);
    job = response.job();
    return status;
  }
  // The id of a new job.
  std::string Create(const v1::TrainJobSpec& spec) {
    v1::TrainJob job;
    const grpc::Status status = Create(spec, job);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return job.job_id();
  }

  // Follows a job until it is as `done` wants or has ended.
  v1::TrainJob Await(const std::string& id, const std::function<bool(const v1::TrainJob&)>& done) {
    grpc::ClientContext context;
    v1::WatchTrainJobRequest request;
    request.set_job_id(id);
    const auto watch = training->WatchTrainJob(&context, request);
    v1::WatchTrainJobResponse response;
    while (watch->Read(&response)) {
      if (done(response.job())) {
        context.TryCancel();
        break;
      }
    }
    watch->Finish();
    return response.job();
  }
  v1::TrainJob AwaitEnd(const std::string& id) {
    return Await(id, [](const v1::TrainJob&) { return false; });
  }
  v1::TrainJob AwaitPhase(const std::string& id, v1::TrainPhase phase) {
    return Await(id, [phase](const v1::TrainJob& job) { return job.progress().phase() == phase; });
  }

  std::filesystem::path JobDirectory(const std::string& id) const { return root / "jobs" / id; }

  const testing::TempDirectory
      root;  // data/parts, encoders/encoder-pyramid and what the server makes
  Config config;
  ModelLoader loader = LoadFake;
  Event ready{"the server to be ready"};
  std::unique_ptr<Server> server;
  std::unique_ptr<v1::TrainingService::Stub> training;
  std::unique_ptr<v1::ModelService::Stub> models;
};

// With a label for the fake trainer.
inline v1::TrainJobSpec With(v1::TrainJobSpec spec, const char* label,
                             const std::string& value = "1") {
  (*spec.mutable_labels())[label] = value;
  return spec;
}

// A job that waits before its first step until it is released or told to end.
inline v1::TrainJobSpec Held() { return With(TrainingServer::Spec(), testing::kFakeHoldAt, "0"); }

// What a refusal must say.
struct Refusal {
  grpc::StatusCode code;
  std::string field;  // "": none
  std::string words;  // in the message
};

inline void ExpectRefused(const grpc::Status& status, const Refusal& refusal) {
  EXPECT_EQ(status.error_code(), refusal.code) << status.error_message();
  EXPECT_THAT(status.error_message(), ::testing::HasSubstr(refusal.words));
  if (status.ok()) return;
  EXPECT_EQ(FieldOf(DetailsOf(status)), refusal.field) << status.error_message();
  EXPECT_FALSE(ReasonOf(DetailsOf(status)).empty());
}

// What tests of training need of a server.
class TrainingTest : public ::testing::Test {
 protected:
  void Start() { server_.Start(); }

  template <typename Request>
  static Request Named(const std::string& id) {
    Request request;
    request.set_job_id(id);
    return request;
  }
  grpc::Status Get(const std::string& id, v1::TrainJob& job) {
    v1::GetTrainJobResponse response;
    const grpc::Status status =
        server_.Call(server_.training, &v1::TrainingService::Stub::GetTrainJob,
                     Named<v1::GetTrainJobRequest>(id), response);
    job = response.job();
    return status;
  }
  grpc::Status Cancel(const std::string& id, v1::TrainJob& job) {
    v1::CancelTrainJobResponse response;
    const grpc::Status status =
        server_.Call(server_.training, &v1::TrainingService::Stub::CancelTrainJob,
                     Named<v1::CancelTrainJobRequest>(id), response);
    job = response.job();
    return status;
  }
  grpc::Status Resume(const std::string& id, v1::TrainJob& job) {
    v1::ResumeTrainJobResponse response;
    const grpc::Status status =
        server_.Call(server_.training, &v1::TrainingService::Stub::ResumeTrainJob,
                     Named<v1::ResumeTrainJobRequest>(id), response);
    job = response.job();
    return status;
  }
  grpc::Status List(const v1::ListTrainJobsRequest& request, v1::ListTrainJobsResponse& response) {
    response.Clear();
    return server_.Call(server_.training, &v1::TrainingService::Stub::ListTrainJobs, request,
                        response);
  }
  std::vector<std::string> ListIds(const v1::ListTrainJobsRequest& request = {}) {
    v1::ListTrainJobsResponse response;
    const grpc::Status status = List(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> ids;
    for (const v1::TrainJob& job : response.jobs()) ids.push_back(job.job_id());
    return ids;
  }
  // How a watch of the job ends, and its answers.
  grpc::Status Watch(const std::string& id, std::vector<v1::TrainJob>* jobs = nullptr) {
    grpc::ClientContext context;
    const auto watch =
        server_.training->WatchTrainJob(&context, Named<v1::WatchTrainJobRequest>(id));
    v1::WatchTrainJobResponse response;
    while (watch->Read(&response)) {
      if (jobs != nullptr) jobs->push_back(response.job());
    }
    return watch->Finish();
  }

  TrainingServer server_;
};

}  // namespace proad::server
