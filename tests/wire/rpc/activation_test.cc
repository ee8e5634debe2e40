// Which version serves after a job, or after ActivateModel, over gRPC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/training_server.h"

namespace proad::server {
namespace {

namespace fake = proad::testing;
namespace fs = std::filesystem;

using grpc::StatusCode;
using ::testing::HasSubstr;

// A job that publishes `version` and asks for its activation; `gate`: "passed" or why not.
v1::TrainJobSpec Publishing(const std::string& version, const std::string& gate) {
  v1::TrainJobSpec spec = With(TrainingServer::Spec(), fake::kFakePublish);
  spec.set_activate_on_success(true);
  spec = With(With(spec, fake::kFakeVersion, version), fake::kFakeGate, gate);
  return spec;
}

class ActivationTest : public TrainingTest {
 protected:
  // "NAME@VERSION" of what serves a name; "" when nothing does.
  std::string ActiveVersion(const std::string& name) {
    v1::ListModelsRequest request;
    request.set_name(name);
    v1::ListModelsResponse response;
    const grpc::Status status =
        server_.Call(server_.models, &v1::ModelService::Stub::ListModels, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::string active;
    for (const v1::ModelSummary& model : response.models()) {
      if (model.state() != v1::MODEL_STATE_ACTIVE) continue;
      EXPECT_EQ(active, "") << "two versions are active";
      active = absl::StrCat(name, "@", model.model_version().version());
    }
    return active;
  }
  grpc::Status Activate(const std::string& model, v1::ActivateModelResponse& response,
                        const char* expected = nullptr) {
    v1::ActivateModelRequest request;
    request.set_model(model);
    if (expected != nullptr) request.set_expected_active_version(expected);
    return server_.Call(server_.models, &v1::ModelService::Stub::ActivateModel, request, response);
  }
  // Two versions of pcb, of which the newer serves.
  void StartWithTwoVersions() {
    WriteFakeVersion(server_.config.store, "pcb", "1");
    WriteFakeVersion(server_.config.store, "pcb", "2");
    Start();
    server_.ready.Wait();
    ASSERT_EQ(ActiveVersion("pcb"), "pcb@2");
  }
};

TEST_F(ActivationTest, AVersionThatPassesItsGateServes) {
  WriteFakeVersion(server_.config.store, "pcb", "1");
  Start();
  server_.ready.Wait();
  const v1::TrainJob job = server_.AwaitEnd(server_.Create(Publishing("2", "passed")));
  ASSERT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.result_version().version(), "2");
  EXPECT_TRUE(job.gate_result().passed());
  EXPECT_TRUE(job.gate_result().activated()) << job.gate_result().reason();
  EXPECT_EQ(job.gate_result().reason(), "");
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@2");
}

TEST_F(ActivationTest, TheFirstVersionOfANameServesToo) {
  Start();
  const v1::TrainJob job = server_.AwaitEnd(server_.Create(Publishing("1", "passed")));
  EXPECT_TRUE(job.gate_result().activated()) << job.gate_result().reason();
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@1");
}

TEST_F(ActivationTest, AVersionThatItsGateRefusesIsPublishedAndDoesNotServe) {
  WriteFakeVersion(server_.config.store, "pcb", "1");
  Start();
  server_.ready.Wait();
  const std::string why = "image_auroc is 0.9, and 0.95 is the least";
  const v1::TrainJob job = server_.AwaitEnd(server_.Create(Publishing("2", why)));
  ASSERT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.result_version().version(), "2");
  EXPECT_FALSE(job.gate_result().passed());
  EXPECT_FALSE(job.gate_result().activated());
  EXPECT_EQ(job.gate_result().reason(), why);
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@1");
}

TEST_F(ActivationTest, AVersionThatDoesNotLoadLeavesTheOldOneServing) {
  WriteFakeVersion(server_.config.store, "pcb", "1");
  server_.loader = [](const fs::path& directory) -> absl::StatusOr<ModelHandle> {
    if (directory.filename() == "1") return LoadFake(directory);
    return absl::DataLossError("model.safetensors is damaged");
  };
  Start();
  server_.ready.Wait();
  const v1::TrainJob job = server_.AwaitEnd(server_.Create(Publishing("2", "passed")));
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_TRUE(job.gate_result().passed());
  EXPECT_FALSE(job.gate_result().activated());
  EXPECT_THAT(job.gate_result().reason(), HasSubstr("model.safetensors is damaged"));
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@1");
}

TEST_F(ActivationTest, ActivateModelSwapsTheVersionThatServes) {
  StartWithTwoVersions();
  v1::ActivateModelResponse response;
  grpc::Status status = Activate("pcb@1", response, "2");
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.active().name(), "pcb");
  EXPECT_EQ(response.active().version(), "1");
  EXPECT_EQ(response.active().hash().size(), 64u);
  EXPECT_EQ(response.previous().version(), "2");
  EXPECT_TRUE(response.has_duration());
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@1");

  WriteFakeVersion(server_.config.store, "brick", "1");
  response.Clear();
  status = Activate("brick@1", response);
  ASSERT_TRUE(status.ok()) << "a name that was published since is found: "
                           << status.error_message();
  EXPECT_FALSE(response.has_previous());
  EXPECT_EQ(ActiveVersion("brick"), "brick@1");

  server_.Stop();
  Start();
  std::string active;
  do {  // it is loaded in the background
    active = ActiveVersion("pcb");
  } while (active.empty());
  EXPECT_EQ(active, "pcb@1") << "the choice outlives the server";
}

TEST_F(ActivationTest, ActivateModelThatIsRefusedChangesNothing) {
  server_.loader = [](const fs::path& directory) -> absl::StatusOr<ModelHandle> {
    if (directory.filename() == "2") return LoadFake(directory);
    return absl::DataLossError("model.safetensors is damaged");
  };
  StartWithTwoVersions();
  v1::ActivateModelResponse response;
  ExpectRefused(Activate("pcb", response),
                {StatusCode::INVALID_ARGUMENT, "model", "NAME@VERSION is expected"});
  ExpectRefused(Activate("", response), {StatusCode::INVALID_ARGUMENT, "model", "name@version"});
  ExpectRefused(Activate("pcb@9", response),
                {StatusCode::NOT_FOUND, "model", "no version \"9\"; there are: 2, 1"});
  ExpectRefused(Activate("gravel@1", response), {StatusCode::NOT_FOUND, "model", "pcb"});
  const grpc::Status changed = Activate("pcb@1", response, "7");
  EXPECT_EQ(changed.error_code(), StatusCode::ABORTED);
  EXPECT_EQ(ReasonOf(DetailsOf(changed)), "ACTIVE_VERSION_CHANGED");
  EXPECT_THAT(changed.error_message(), HasSubstr("2"));
  const grpc::Status damaged = Activate("pcb@1", response);
  EXPECT_EQ(damaged.error_code(), StatusCode::DATA_LOSS);
  EXPECT_THAT(damaged.error_message(), HasSubstr("model.safetensors is damaged"));
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@2");
}

TEST_F(ActivationTest, RollbackModelBringsBackTheVersionBefore) {
  StartWithTwoVersions();
  const auto roll_back = [&](const std::string& name, v1::RollbackModelResponse& response,
                             const char* expected = nullptr) {
    v1::RollbackModelRequest request;
    request.set_name(name);
    if (expected != nullptr) request.set_expected_active_version(expected);
    return server_.Call(server_.models, &v1::ModelService::Stub::RollbackModel, request, response);
  };
  v1::RollbackModelResponse response;
  ExpectRefused(roll_back("pcb", response),
                {StatusCode::FAILED_PRECONDITION, "name", "no version of pcb was active before"});
  ExpectRefused(roll_back("gravel", response), {StatusCode::NOT_FOUND, "model", "pcb"});
  ExpectRefused(roll_back("pcb@2", response),
                {StatusCode::INVALID_ARGUMENT, "name", "is not the name of a model"});
  v1::ActivateModelResponse activated;
  ASSERT_TRUE(Activate("pcb@1", activated).ok());
  EXPECT_EQ(roll_back("pcb", response, "2").error_code(), StatusCode::ABORTED);
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@1");

  const grpc::Status status = roll_back("pcb", response, "1");
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.active().version(), "2");
  EXPECT_EQ(response.active().hash().size(), 64u);
  EXPECT_EQ(response.previous().version(), "1");
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@2");
}

TEST_F(ActivationTest, AVersionIsLoadedUnloadedAndDeleted) {
  StartWithTwoVersions();
  const auto call = [&](auto method, auto request, auto& response) {
    request.set_model("pcb@1");
    return server_.Call(server_.models, method, request, response);
  };
  using Stub = v1::ModelService::Stub;
  v1::LoadModelResponse loaded;
  ASSERT_TRUE(call(&Stub::LoadModel, v1::LoadModelRequest(), loaded).ok());
  EXPECT_EQ(loaded.state(), v1::MODEL_STATE_LOADED);
  EXPECT_EQ(loaded.model_version().hash().size(), 64u);
  EXPECT_TRUE(loaded.has_load_duration());
  EXPECT_EQ(ActiveVersion("pcb"), "pcb@2") << "it does not serve its name";

  v1::DeleteModelResponse deleted;
  ExpectRefused(call(&Stub::DeleteModel, v1::DeleteModelRequest(), deleted),
                {StatusCode::FAILED_PRECONDITION, "model", "unload it first"});
  v1::UnloadModelResponse unloaded;
  ASSERT_TRUE(call(&Stub::UnloadModel, v1::UnloadModelRequest(), unloaded).ok());
  EXPECT_EQ(unloaded.model_version().version(), "1");
  ASSERT_TRUE(call(&Stub::DeleteModel, v1::DeleteModelRequest(), deleted).ok());
  EXPECT_GT(deleted.freed_bytes(), 0u);
  EXPECT_FALSE(fs::exists(fs::path(server_.config.store) / "pcb" / "1"));
  ExpectRefused(call(&Stub::LoadModel, v1::LoadModelRequest(), loaded),
                {StatusCode::NOT_FOUND, "model", "there are: 2"});

  v1::UnloadModelRequest active;
  active.set_model("pcb@2");
  ExpectRefused(server_.Call(server_.models, &Stub::UnloadModel, active, unloaded),
                {StatusCode::FAILED_PRECONDITION, "model", "activate another one first"});
}

}  // namespace
}  // namespace proad::server
