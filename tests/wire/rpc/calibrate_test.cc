// Calibrate over gRPC: from images of good parts to verdicts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/pictures.h"
#include "tests/support/training_server.h"

namespace proad::server {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

class CalibrateTest : public TrainingTest {
 protected:
  // Good parts of "nut" that score 1 to 20, in units of FakeScore(1 << 12), and a bad one.
  void Start() {
    for (uint32_t i = 1; i <= 20; ++i) AddPart("train/good", i);
    AddPart("test/good", 10);
    AddPart("test/scratch", 200);
    if (!std::filesystem::exists(server_.config.store / "pcb/1")) {
      WriteFakeVersion(server_.config.store, "pcb", "1");
    }
    TrainingTest::Start();
    server_.ready.Wait();
  }

  void AddPart(const std::string& folder, uint32_t marker) {
    testing::WriteFile(server_.root / "data",
                       absl::StrCat("parts/nut/", folder, "/", 1000 + marker, ".bmp"),
                       MarkedBmp(marker << 12));
  }

  static v1::CalibrateRequest Request(double budget = 0.1) {
    v1::CalibrateRequest request;
    request.set_dataset_path("parts");
    request.add_categories("nut");
    request.set_false_reject_budget(budget);
    return request;
  }

  grpc::Status Calibrate(const v1::CalibrateRequest& request, v1::CalibrateResponse& response) {
    return server_.Call(server_.models, &v1::ModelService::Stub::Calibrate, request, response);
  }

  v1::DetectResponse Detect(uint32_t marker, const std::string& category) {
    v1::DetectRequest request;
    request.set_encoded(MarkedBmp(marker << 12));
    request.set_category(category);
    v1::DetectResponse response;
    const auto stub = v1::DetectionService::NewStub(
        grpc::CreateChannel(server_.server->grpc_address(), grpc::InsecureChannelCredentials()));
    const grpc::Status status =
        server_.Call(stub, &v1::DetectionService::Stub::Detect, request, response);
    detect_code_ = status.error_code();
    return response;
  }

  v1::ModelCard Card(const std::string& model) {
    v1::GetModelRequest request;
    request.set_model(model);
    v1::GetModelResponse response;
    EXPECT_TRUE(
        server_.Call(server_.models, &v1::ModelService::Stub::GetModel, request, response).ok());
    return response.model();
  }

  StatusCode detect_code_ = StatusCode::OK;
};

TEST_F(CalibrateTest, DecidesFromTheNextRequestOn) {
  Start();
  Detect(5, "nut");
  EXPECT_EQ(detect_code_, StatusCode::NOT_FOUND) << "the version does not know it yet";
  v1::CalibrateResponse response;
  const grpc::Status status = Calibrate(Request(), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response.applied());
  EXPECT_EQ(response.model_version().version(), "1");
  ASSERT_EQ(response.calibrations_size(), 1);
  const v1::Calibration& nut = response.calibrations(0);
  EXPECT_EQ(nut.category(), "nut");
  EXPECT_EQ(nut.images(), 21u) << "the bad one is not used";
  EXPECT_EQ(nut.rejected(), 2u);
  EXPECT_EQ(nut.source(), v1::CALIBRATION_SOURCE_CALIBRATE);
  EXPECT_GT(nut.threshold(), FakeScore(18 << 12));
  EXPECT_LE(nut.threshold(), FakeScore(19 << 12));

  const v1::DetectResponse normal = Detect(18, "nut");
  EXPECT_EQ(normal.verdict(), v1::VERDICT_NORMAL);
  EXPECT_EQ(normal.threshold(), nut.threshold());
  EXPECT_EQ(Detect(19, "nut").verdict(), v1::VERDICT_ANOMALOUS);
  const v1::ModelCard card = Card("pcb");
  ASSERT_EQ(card.calibrations_size(), 2) << "nut, and pcb, which it was published with";
  EXPECT_EQ(card.calibrations(0).category(), "nut");
  EXPECT_EQ(card.calibrations(0).create_time().seconds(), nut.create_time().seconds());
  EXPECT_EQ(card.calibrations(1).source(), v1::CALIBRATION_SOURCE_PUBLISHED);
}

TEST_F(CalibrateTest, AVersionThatDoesNotServeCanBeCalibratedFirst) {
  for (const char* version : {"1", "2"}) {
    WriteFakeVersion(server_.config.store, "pcb", version);
  }
  testing::WriteText(server_.config.store / "pcb/active", "1\n");
  Start();
  v1::CalibrateRequest request = Request();
  request.set_model("pcb@2");
  v1::CalibrateResponse response;
  ASSERT_TRUE(Calibrate(request, response).ok());
  EXPECT_EQ(response.model_version().version(), "2");
  EXPECT_EQ(Card("pcb@2").state(), v1::MODEL_STATE_STORED) << "it is out of memory again";
  EXPECT_EQ(Card("pcb@2").calibrations_size(), 2);
  EXPECT_EQ(Card("pcb@1").calibrations_size(), 1);
}

TEST_F(CalibrateTest, ADryRunChangesNothing) {
  Start();
  v1::CalibrateRequest request = Request();
  request.set_validate_only(true);
  v1::CalibrateResponse response;
  ASSERT_TRUE(Calibrate(request, response).ok());
  EXPECT_FALSE(response.applied());
  EXPECT_EQ(response.calibrations_size(), 1);
  Detect(5, "nut");
  EXPECT_EQ(detect_code_, StatusCode::NOT_FOUND);
}

TEST_F(CalibrateTest, RefusesInWords) {
  Start();
  const auto expect = [this](const v1::CalibrateRequest& request, StatusCode code,
                             const std::string& field, const std::string& words) {
    v1::CalibrateResponse response;
    const grpc::Status status = Calibrate(request, response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(words));
    EXPECT_EQ(FieldOf(DetailsOf(status)), field) << status.error_message();
  };
  v1::CalibrateRequest request = Request();
  request.clear_dataset();
  expect(request, StatusCode::INVALID_ARGUMENT, "dataset_path", "name a dataset");
  expect(Request(1.5), StatusCode::INVALID_ARGUMENT, "false_reject_budget", "1.5");
  expect(Request(0.01), StatusCode::FAILED_PRECONDITION, "false_reject_budget",
         "needs at least 100");
  request = Request();
  request.set_model("brick");
  expect(request, StatusCode::NOT_FOUND, "model", "pcb");
  request = Request();
  request.set_dataset_path("../parts");
  expect(request, StatusCode::PERMISSION_DENIED, "dataset_path", "outside the data root");
  request.set_dataset_path("elsewhere");
  expect(request, StatusCode::NOT_FOUND, "dataset_path", "there is no");
  request = Request();
  request.add_categories("bolt");
  expect(request, StatusCode::NOT_FOUND, "categories", "bolt");
}

}  // namespace
}  // namespace proad::server
