#include "server/serving/model_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"
#include "tests/support/model_serving_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

class ModelCatalogTest : public ModelServingFixture {};

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteText;

TEST_F(ModelCatalogTest, ServesTheActiveVersionOfEachModel) {
  for (const char* version : {"1", "2", "10"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "brick", "2");
  WriteText(root_ / "brick/active", "1\n");
  Start("brick");
  EXPECT_EQ(Answering("pcb"), "pcb@10");
  EXPECT_EQ(Answering("pcb@10"), "pcb@10");
  EXPECT_EQ(Answering("brick"), "brick@1");
  EXPECT_EQ(Answering(""), "brick@1");
  EXPECT_TRUE(models_->catalog.Ready());
  EXPECT_THAT(ListedStates(), ElementsAre("brick@2 stored", "brick@1 active default",
                                          "pcb@10 active", "pcb@2 stored", "pcb@1 stored"));
}

TEST_F(ModelCatalogTest, TheOnlyModelBecomesAndStaysTheDefault) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  EXPECT_EQ(Answering(""), "pcb@1");
  WriteFakeVersion(root_.path(), "brick", "1");
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 stored", "pcb@1 active default"));
  EXPECT_EQ(Answering(""), "pcb@1") << "a second model does not change the default";
}

TEST_F(ModelCatalogTest, WithoutADefaultARequestMustNameTheModel) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "1");
  Start();
  ExpectError("", absl::StatusCode::kInvalidArgument, "MODEL_REQUIRED",
              AllOf(HasSubstr("no default model"), HasSubstr("brick, pcb")));
  EXPECT_TRUE(models_->catalog.Ready());
}

TEST_F(ModelCatalogTest, UnknownNamesListTheKnownOnes) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "7");
  Start("pcb");
  ExpectError("gravel", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("\"gravel\""), HasSubstr("brick, pcb")));
  ExpectError("brick@8", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("\"8\""), HasSubstr("there are: 7")));
}

TEST_F(ModelCatalogTest, TheListOfKnownNamesIsBounded) {
  for (int i = 10; i < 60; ++i) WriteFakeVersion(root_.path(), absl::StrCat("model-", i), "1");
  Start("model-10");
  ExpectError("gravel", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("model-29 and 30 more"), Not(HasSubstr("model-30"))));
}

TEST_F(ModelCatalogTest, RefusesInvalidNames) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  for (const std::string& name :
       {std::string("PCB"), std::string("pcb@"), std::string("@1"), std::string("pcb@1@2"),
        std::string("../pcb"), std::string("pcb@.."), std::string("a\nb"), std::string(5000, 'a'),
        std::string("pcb\0", 4)}) {
    const absl::Status status = models_->catalog.Acquire(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name.substr(0, 20);
    EXPECT_EQ(GetDetails(status).field, "model");
    EXPECT_LT(status.message().size(), 400u);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
}

TEST_F(ModelCatalogTest, AStoredVersionMustBeLoadedFirst) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "pcb", "2");
  Start();
  ExpectError("pcb@1", absl::StatusCode::kFailedPrecondition, "MODEL_NOT_LOADED",
              AllOf(HasSubstr("pcb@1"), HasSubstr("not in memory")));
}

TEST_F(ModelCatalogTest, AFailedDefaultIsUnavailableAndNotReady) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  loader_ = [](const fs::path&) { return absl::DataLossError("model.safetensors is damaged"); };
  Start("pcb");
  EXPECT_FALSE(models_->catalog.Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY",
              AllOf(HasSubstr("pcb@1"), HasSubstr("model.safetensors is damaged")));
}

TEST_F(ModelCatalogTest, ADefaultThatIsNotInTheStoreIsUnavailableAndNotReady) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start("brick");
  EXPECT_FALSE(models_->catalog.Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY",
              AllOf(HasSubstr("\"brick\""), HasSubstr("pcb")));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelCatalogTest, AnEmptyStoreIsUnavailableAndNotReady) {
  Start();
  EXPECT_FALSE(models_->catalog.Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("empty"));
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", HasSubstr("there are: none"));
}

TEST_F(ModelCatalogTest, APointerToAMissingVersionLeavesNoActiveVersion) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteText(root_ / "pcb/active", "9");
  Start();
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              HasSubstr("no active version"));
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("no active version"));
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 stored"));
}

TEST_F(ModelCatalogTest, AVersionInMemoryOutlivesItsDirectory) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  fs::remove_all(root_ / "pcb");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 active default"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelCatalogTest, ForgetsVersionsThatTheStoreHasLost) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "pcb", "2");
  Start();
  fs::remove_all(root_ / "pcb/1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 active default"));
  EXPECT_EQ(Find("pcb@1").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelCatalogTest, ANewerVersionDoesNotServeBeforeItIsLoaded) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 stored", "pcb@1 active default"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelCatalogTest, FindReturnsTheManifest) {
  const model::Manifest written = WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  for (const char* name : {"", "pcb", "pcb@1"}) {
    const auto found = Find(name);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->manifest.value(), written);
    EXPECT_GT(found->activated, absl::UnixEpoch());
  }
  EXPECT_EQ(Find("PCB").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelCatalogTest, AMissingStoreIsAnError) {
  fs::remove_all(root_.path());
  Make();
  EXPECT_EQ(models_->scanner.Scan().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace proad::server
