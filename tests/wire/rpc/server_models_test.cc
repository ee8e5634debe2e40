// What a whole server tells of its models: ListModels and GetModel.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <proad/v1/model.grpc.pb.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/support/fake_store.h"
#include "tests/support/server_fixture.h"
#include "tests/support/temp_directory.h"
#include "tests/support/wire_server.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(ServerTest, ListsModelsPageByPage) {
  for (const char* version : {"9", "10", "11"}) WriteFakeVersion(store_.path(), "brick", version);
  testing::WriteText(store_ / "brick/9/manifest.json", "{}");
  config_.models.default_model = "pcb";
  Start();
  ready_.Wait();
  std::vector<std::string> listed;
  std::vector<int> pages;
  v1::ListModelsRequest request;
  request.set_page_size(2);
  do {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    const grpc::Status status = models_->ListModels(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    pages.push_back(response.models_size());
    for (const v1::ModelSummary& model : response.models()) {
      listed.push_back(absl::StrCat(
          model.model_version().name(), "@", model.model_version().version(), " ",
          v1::ModelState_Name(model.state()).substr(12), model.default_model() ? " default" : ""));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  // The fake loader makes pcb@1 of every directory; what counts here is what is listed.
  EXPECT_THAT(pages, ElementsAre(2, 2));
  ASSERT_EQ(listed.size(), 4u);
  EXPECT_THAT(listed[0], StartsWith("brick@11 "));
  EXPECT_EQ(listed[1], "brick@10 STORED");
  EXPECT_EQ(listed[2], "brick@9 FAILED");
  EXPECT_EQ(listed[3], "pcb@1 ACTIVE default");
}

TEST_F(ServerTest, ListModelsChecksItsRequest) {
  Start();
  const auto list = [this](const v1::ListModelsRequest& request, v1::ListModelsResponse& response) {
    grpc::ClientContext context;
    return models_->ListModels(&context, request, &response);
  };
  v1::ListModelsResponse response;
  v1::ListModelsRequest negative;
  negative.set_page_size(-1);
  grpc::Status status = list(negative, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(DetailsOf(status)), "page_size");
  for (const char* token : {"x y", "pcb", "pcb@1@2"}) {
    v1::ListModelsRequest bad;
    bad.set_page_token(token);
    status = list(bad, response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << token;
    EXPECT_EQ(FieldOf(DetailsOf(status)), "page_token");
  }
  v1::ListModelsRequest unknown;
  unknown.set_name("gravel");
  EXPECT_TRUE(list(unknown, response).ok());
  EXPECT_EQ(response.models_size(), 0);
}

TEST_F(ServerTest, AModelsCardShowsItsManifest) {
  const absl::Time before = absl::Now();
  Start();
  ready_.Wait();
  for (const char* name : {"", "pcb", "pcb@1"}) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_model(name);
    v1::GetModelResponse response;
    const grpc::Status status = models_->GetModel(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    const v1::ModelCard& card = response.model();
    EXPECT_EQ(card.model_version().name(), "pcb");
    EXPECT_EQ(card.model_version().hash().size(), 64u);
    EXPECT_EQ(card.state(), v1::MODEL_STATE_ACTIVE);
    EXPECT_TRUE(card.default_model());
    EXPECT_EQ(card.create_time().seconds(), 1772357400);  // 2026-03-01T09:30:00Z
    EXPECT_GE(card.activate_time().seconds(), absl::ToUnixSeconds(before));
    EXPECT_EQ(card.network().preset(), "proad-tiny");
    EXPECT_EQ(card.network().tokens(),
              static_cast<uint32_t>(StoredManifest("a", "1").config.tokens()));
    EXPECT_TRUE(card.network().adaptive_noisy_bottleneck());
    EXPECT_EQ(card.preprocessing().mean_size(), 3);
    EXPECT_EQ(card.encoder().dialect(), "official");
    ASSERT_EQ(card.calibrations_size(), 1);
    EXPECT_EQ(card.calibrations(0).category(), "pcb");
    EXPECT_EQ(card.calibrations(0).threshold(), 0.25);
    ASSERT_EQ(card.metrics_size(), 1);
    EXPECT_EQ(card.metrics(0).name(), "image_auroc");
    ASSERT_EQ(card.files_size(), 1);
    EXPECT_EQ(card.files(0).name(), "model.safetensors");
    EXPECT_EQ(card.files(0).size_bytes(), 7u);
  }
}

TEST_F(ServerTest, GetModelSaysWhatIsWrong) {
  Start();
  ready_.Wait();
  WriteFakeVersion(store_.path(), "brick", "1");
  testing::WriteText(store_ / "brick/1/manifest.json", "{");
  const auto get = [this](const std::string& name) {
    grpc::ClientContext context;
    v1::GetModelRequest request;
    request.set_model(name);
    v1::GetModelResponse response;
    return models_->GetModel(&context, request, &response);
  };
  EXPECT_EQ(get("gravel").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(get("gravel").error_message(), HasSubstr("brick, pcb"));
  EXPECT_EQ(get("pcb@2").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(get("PCB").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(get("brick@1").error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(get("brick@1").error_message(), HasSubstr("manifest.json"));
}

}  // namespace
}  // namespace proad::server
