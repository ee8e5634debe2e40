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
#include "tests/support/model_registry_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

class ModelRegistryTest : public ModelRegistryFixture {};

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteText;

TEST_F(ModelRegistryTest, ServesTheActiveVersionOfEachModel) {
  for (const char* version : {"1", "2", "10"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "brick", "2");
  WriteText(root_ / "brick/active", "1\n");
  Start("brick");
  EXPECT_EQ(Answering("pcb"), "pcb@10");
  EXPECT_EQ(Answering("pcb@10"), "pcb@10");
  EXPECT_EQ(Answering("brick"), "brick@1");
  EXPECT_EQ(Answering(""), "brick@1");
  EXPECT_TRUE(registry_->Ready());
  EXPECT_THAT(ListedStates(), ElementsAre("brick@2 stored", "brick@1 active default",
                                          "pcb@10 active", "pcb@2 stored", "pcb@1 stored"));
}

TEST_F(ModelRegistryTest, TheOnlyModelIsTheDefaultAndStaysIt) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  EXPECT_EQ(Answering(""), "pcb@1");
  WriteFakeVersion(root_.path(), "brick", "1");
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 stored", "pcb@1 active default"));
  EXPECT_EQ(Answering(""), "pcb@1") << "a model published meanwhile must not take the default away";
}

TEST_F(ModelRegistryTest, WithoutADefaultARequestMustNameTheModel) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "1");
  Start();
  ExpectError("", absl::StatusCode::kInvalidArgument, "MODEL_REQUIRED",
              AllOf(HasSubstr("no default model"), HasSubstr("brick, pcb")));
  EXPECT_TRUE(registry_->Ready());
}

TEST_F(ModelRegistryTest, UnknownNamesListTheKnownOnes) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "7");
  Start("pcb");
  ExpectError("gravel", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("\"gravel\""), HasSubstr("brick, pcb")));
  ExpectError("brick@8", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("\"8\""), HasSubstr("there are: 7")));
}

TEST_F(ModelRegistryTest, TheListOfKnownNamesIsBounded) {
  for (int i = 10; i < 60; ++i) WriteFakeVersion(root_.path(), absl::StrCat("model-", i), "1");
  Start("model-10");
  ExpectError("gravel", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              AllOf(HasSubstr("model-29 and 30 more"), Not(HasSubstr("model-30"))));
}

TEST_F(ModelRegistryTest, WhatIsNoNameIsRefused) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  for (const std::string& name :
       {std::string("PCB"), std::string("pcb@"), std::string("@1"), std::string("pcb@1@2"),
        std::string("../pcb"), std::string("pcb@.."), std::string("a\nb"), std::string(5000, 'a'),
        std::string("pcb\0", 4)}) {
    const absl::Status status = registry_->Acquire(name).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name.substr(0, 20);
    EXPECT_EQ(GetDetails(status).field, "model");
    EXPECT_LT(status.message().size(), 400u);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
}

TEST_F(ModelRegistryTest, AStoredVersionThatIsNotInMemorySaysSo) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "pcb", "2");
  Start();
  ExpectError("pcb@1", absl::StatusCode::kFailedPrecondition, "MODEL_NOT_LOADED",
              AllOf(HasSubstr("pcb@1"), HasSubstr("not in memory")));
}

TEST_F(ModelRegistryTest, AVersionThatFailsDisturbsNoOther) {
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "pcb", "1");
  loader_ = [](const fs::path& directory) -> absl::StatusOr<ModelHandle> {
    if (directory.parent_path().filename() == "brick") {
      return absl::FailedPreconditionError("the probe scored 0.5 instead of 0.1");
    }
    return LoadFake(directory);
  };
  Start("pcb");
  EXPECT_EQ(Answering(""), "pcb@1");
  ExpectError("brick", absl::StatusCode::kFailedPrecondition, "MODEL_FAILED",
              AllOf(HasSubstr("brick@1"), HasSubstr("the probe scored 0.5 instead of 0.1")));
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 failed", "pcb@1 active default"));
  EXPECT_THAT(std::string(registry_->Find("brick").value().problem.message()),
              HasSubstr("the probe scored"));
}

TEST_F(ModelRegistryTest, AFailedDefaultIsUnavailableAndNotReady) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  loader_ = [](const fs::path&) { return absl::DataLossError("model.safetensors is damaged"); };
  Start("pcb");
  EXPECT_FALSE(registry_->Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY",
              AllOf(HasSubstr("pcb@1"), HasSubstr("model.safetensors is damaged")));
}

TEST_F(ModelRegistryTest, ADefaultThatIsNotInTheStoreIsUnavailableAndNotReady) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start("brick");
  EXPECT_FALSE(registry_->Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY",
              AllOf(HasSubstr("\"brick\""), HasSubstr("pcb")));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelRegistryTest, AnEmptyStoreIsUnavailableAndNotReady) {
  Start();
  EXPECT_FALSE(registry_->Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("empty"));
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND", HasSubstr("there are: none"));
}

TEST_F(ModelRegistryTest, DamagedManifestsAreListedAsFailedAndNeverLoaded) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteText(root_ / "pcb/1/manifest.json", "{\"format\": 1,");
  WriteFakeVersion(root_.path(), "brick", "1");
  fs::rename(root_ / "brick/1", root_ / "brick/2");
  int loads = 0;
  loader_ = [&loads](const fs::path& directory) {
    ++loads;
    return LoadFake(directory);
  };
  Start("pcb");
  EXPECT_EQ(loads, 0);
  EXPECT_THAT(ListedStates(), ElementsAre("brick@2 failed", "pcb@1 failed default"));
  EXPECT_THAT(std::string(registry_->Find("brick@2").value().problem.message()),
              AllOf(HasSubstr("manifest.json"), HasSubstr("brick@1")));
  EXPECT_THAT(std::string(registry_->Find("pcb").value().problem.message()),
              HasSubstr("manifest.json"));
}

TEST_F(ModelRegistryTest, APointerToNothingLeavesTheNameWithoutAVersion) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteText(root_ / "pcb/active", "9");
  Start();
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              HasSubstr("no active version"));
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("no active version"));
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 stored"));
}

TEST_F(ModelRegistryTest, LoadsTheDefaultFirstAndIsReadyWithIt) {
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "pcb", "1");
  Event holding, release;
  loader_ = [&](const fs::path& directory) {
    if (directory.parent_path().filename() == "brick") {
      holding.Set();
      release.Wait();
    }
    return LoadFake(directory);
  };
  Make("pcb");
  ASSERT_TRUE(registry_->Scan().ok());
  std::vector<bool> ready;
  EXPECT_FALSE(registry_->Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("being loaded"));

  std::thread loading([&] { registry_->LoadActive([&] { ready.push_back(registry_->Ready()); }); });
  holding.Wait();
  EXPECT_TRUE(registry_->Ready());
  EXPECT_EQ(Answering(""), "pcb@1");
  ExpectError("brick", absl::StatusCode::kUnavailable, "MODEL_LOADING", HasSubstr("being loaded"));
  EXPECT_TRUE(GetDetails(registry_->Acquire("brick").status()).retry_after.has_value());
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 loading", "pcb@1 active default"));
  release.Set();
  loading.join();
  EXPECT_EQ(Answering("brick"), "brick@1");
  EXPECT_THAT(ready, ElementsAre(true, true, true));
}

TEST_F(ModelRegistryTest, StopEndsLoadingAfterThePresentVersion) {
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "pcb", "1");
  loader_ = [&](const fs::path& directory) {
    registry_->Stop();
    return LoadFake(directory);
  };
  Start("pcb");
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 stored", "pcb@1 active default"));
}

TEST_F(ModelRegistryTest, AHandleOutlivesItsVersionInTheStore) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  fs::remove_all(root_ / "pcb");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 active default"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelRegistryTest, VersionsThatVanishAreForgotten) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "pcb", "2");
  Start();
  fs::remove_all(root_ / "pcb/1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 active default"));
  EXPECT_EQ(registry_->Find("pcb@1").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelRegistryTest, ANewerVersionDoesNotServeBeforeItIsLoaded) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 stored", "pcb@1 active default"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelRegistryTest, FindGivesTheManifest) {
  const model::Manifest written = WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  for (const char* name : {"", "pcb", "pcb@1"}) {
    const auto found = registry_->Find(name);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->manifest.value(), written);
    EXPECT_GT(found->activated, absl::UnixEpoch());
  }
  EXPECT_EQ(registry_->Find("PCB").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ModelRegistryTest, LoadedVersionsShowInTheMetrics) {
  const model::Manifest written = WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr(absl::StrCat("proad_model_info{hash=\"", written.hash,
                                           "\",model=\"pcb\",version=\"1\"} 1\n")),
                    HasSubstr("proad_model_load_seconds_count 1\n")));
}

TEST_F(ModelRegistryTest, AMissingStoreIsAnError) {
  fs::remove_all(root_.path());
  Make();
  EXPECT_EQ(registry_->Scan().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace proad::server
