// How versions are loaded, activated, rolled back, unloaded and deleted.
#include "server/serving/model_lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"
#include "tests/support/model_serving_fixture.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

class ModelLifecycleTest : public ModelServingFixture {
 protected:
  // The reason for which a rollback fails; "" when it succeeds.
  std::string RollBackReason(const std::string& name) {
    return GetDetails(models_->lifecycle.RollBack(name, std::nullopt).status()).reason;
  }
};
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteText;

TEST_F(ModelLifecycleTest, LoadedVersionsShowInTheMetrics) {
  const model::Manifest written = WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  EXPECT_THAT(metrics_.Serialize(),
              AllOf(HasSubstr(absl::StrCat("proad_model_info{hash=\"", written.hash,
                                           "\",model=\"pcb\",version=\"1\"} 1\n")),
                    HasSubstr("proad_model_load_seconds_count 1\n")));
}

TEST_F(ModelLifecycleTest, ActivateSwapsAndLasts) {
  const std::string first = WriteFakeVersion(root_.path(), "pcb", "1").hash;
  Start();
  const std::string second = WriteFakeVersion(root_.path(), "pcb", "2").hash;
  const ModelHandle held = models_->catalog.Acquire("pcb").value();
  const auto swap = models_->lifecycle.Activate("pcb", "2", std::nullopt);
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->version, "2");
  EXPECT_EQ(swap->hash, second);
  EXPECT_EQ(swap->previous, "1");
  EXPECT_EQ(swap->previous_hash, first);
  EXPECT_FALSE(swap->probe_score.has_value()) << "it has no probe";
  EXPECT_EQ(Answering("pcb"), "pcb@2");
  EXPECT_EQ(Answering(""), "pcb@2");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 active default", "pcb@1 loaded"));
  EXPECT_EQ(held->manifest().version, "1") << "a handle keeps its version";

  const std::string metrics = metrics_.Serialize();
  EXPECT_THAT(metrics, AllOf(HasSubstr("proad_model_swaps_total{result=\"ok\"} 1\n"),
                             HasSubstr("proad_model_swaps_total{result=\"failed\"} 0\n"),
                             HasSubstr(absl::StrCat("proad_model_info{hash=\"", second)),
                             Not(HasSubstr(first))));

  // A version that is published later does not serve, although it is newer.
  WriteFakeVersion(root_.path(), "pcb", "3");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, ThePreviousVersionStaysInMemoryUntilTheNextSwap) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  const std::weak_ptr<ServableModel> first = models_->catalog.Acquire("pcb").value();
  ModelHandle in_flight = first.lock();
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 stored", "pcb@2 active default", "pcb@1 loaded"));
  EXPECT_EQ(Answering("pcb@1"), "pcb@1") << "it answers to its full name";
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "3", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 active default", "pcb@2 loaded", "pcb@1 stored"));
  EXPECT_FALSE(first.expired()) << "a request holds it";
  in_flight.reset();
  EXPECT_TRUE(first.expired());
}

TEST_F(ModelLifecycleTest, ARollbackNeedsNoLoad) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  EXPECT_EQ(RollBackReason("pcb"), "NO_VERSION_BEFORE");
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  loader_ = [](const fs::path&) { return absl::InternalError("nothing needs to be loaded"); };
  for (const char* version : {"1", "2"}) {
    const auto swap = models_->lifecycle.RollBack("pcb", std::nullopt);
    ASSERT_TRUE(swap.ok()) << swap.status();
    EXPECT_EQ(swap->version, version);
    EXPECT_EQ(Answering("pcb"), absl::StrCat("pcb@", version));
  }
  EXPECT_EQ(models_->lifecycle.RollBack("brick", std::nullopt).status().code(),
            absl::StatusCode::kNotFound);
  const absl::Status unexpected = models_->lifecycle.RollBack("pcb", "1").status();
  EXPECT_EQ(unexpected.code(), absl::StatusCode::kAborted) << unexpected;
}

TEST_F(ModelLifecycleTest, AVersionThatServedWithoutAPointerCanBeRolledBackTo) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  ASSERT_TRUE(models_->lifecycle.RollBack("pcb", std::nullopt).ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelLifecycleTest, ThePreviousVersionIsKnownAfterARestart) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@2");
  EXPECT_EQ(Pointer("pcb"), "2 before 1");
  fs::remove_all(root_ / "pcb/1");
  const absl::Status gone = models_->lifecycle.RollBack("pcb", std::nullopt).status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("pcb@1, is not in the store any more"));
}

TEST_F(ModelLifecycleTest, ARollbackNeverActivatesAVersionThatTookTheNumber) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  Start();
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok());
  ASSERT_EQ(Pointer("pcb"), "1 before 2");
  const model::Manifest other = ReplaceFakeVersion(root_.path(), "pcb", "2");
  const absl::Status replaced = models_->lifecycle.RollBack("pcb", std::nullopt).status();
  EXPECT_EQ(GetDetails(replaced).reason, "NO_VERSION_BEFORE") << replaced;
  EXPECT_THAT(std::string(replaced.message()), HasSubstr("was replaced"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  const auto swap = models_->lifecycle.Activate("pcb", "2", std::nullopt);
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->hash, other.hash) << "activated by its name it serves";
}

TEST_F(ModelLifecycleTest, ADeletionEndsTheRollbackAndKeepsTheNumber) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  ASSERT_TRUE(models_->lifecycle.RollBack("pcb", std::nullopt).ok());
  ASSERT_TRUE(models_->lifecycle.Unload("pcb", "2").ok());
  ASSERT_TRUE(models_->lifecycle.Delete("pcb", "2").ok());
  EXPECT_EQ(Pointer("pcb"), "1");
  EXPECT_EQ(RollBackReason("pcb"), "NO_VERSION_BEFORE");
  EXPECT_EQ(model::NextVersion(root_ / "pcb"), "3");
  WriteFakeVersion(root_.path(), "pcb", "3");
  EXPECT_EQ(RollBackReason("pcb"), "NO_VERSION_BEFORE");
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelLifecycleTest, ARollbackIgnoresAVersionThatOnlyWasToServeAtTheStart) {
  Start("pcb");
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  ASSERT_TRUE(store_.Pin("pcb").ok());
  ASSERT_EQ(Pointer("pcb"), "start 2");
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "1", "").ok());
  EXPECT_EQ(Pointer("pcb"), "1");
  EXPECT_EQ(RollBackReason("pcb"), "NO_VERSION_BEFORE");
}

TEST_F(ModelLifecycleTest, ALoadedVersionOfANewNameDoesNotAnswerTheName) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start("pcb");
  WriteFakeVersion(root_.path(), "brick", "1");
  ASSERT_TRUE(models_->lifecycle.Load("brick", "1").ok());
  EXPECT_EQ(Answering("brick@1"), "brick@1");
  ExpectError("brick", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              HasSubstr("brick@1 is in memory but was not activated"));
  ASSERT_TRUE(models_->lifecycle.Activate("brick", "1", std::nullopt).ok());
  EXPECT_EQ(Answering("brick"), "brick@1");
}

TEST_F(ModelLifecycleTest, ALoadedVersionStaysUntilItIsUnloaded) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  {
    const auto loaded = models_->lifecycle.Load("pcb", "3");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_TRUE(loaded->took.has_value());
    EXPECT_EQ(loaded->state, ModelState::kLoaded);
  }
  EXPECT_EQ(Answering("pcb@3"), "pcb@3");
  EXPECT_EQ(Answering("pcb"), "pcb@1") << "it does not serve its name";
  EXPECT_FALSE(models_->lifecycle.Load("pcb", "3")->took.has_value()) << "it is in memory already";
  EXPECT_EQ(models_->lifecycle.Load("pcb", "1")->state, ModelState::kActive);
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 loaded", "pcb@2 loaded", "pcb@1 active default"));

  const std::weak_ptr<ServableModel> third = models_->catalog.Acquire("pcb@3").value();
  EXPECT_TRUE(models_->lifecycle.Unload("pcb", "3").ok());
  EXPECT_TRUE(third.expired());
  EXPECT_TRUE(models_->lifecycle.Unload("pcb", "3").ok())
      << "Unload of a version that is not loaded is OK";
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 stored", "pcb@2 loaded", "pcb@1 active default"));
  EXPECT_EQ(GetDetails(models_->lifecycle.Unload("pcb", "1").status()).reason, "MODEL_ACTIVE");
  EXPECT_EQ(models_->lifecycle.Unload("pcb", "4").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(models_->lifecycle.Load("pcb", "4").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelLifecycleTest, AFailedLoadCanBeRepeated) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  loader_ = [](const fs::path&) { return absl::ResourceExhaustedError("it does not fit"); };
  EXPECT_EQ(models_->lifecycle.Load("pcb", "2").status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 failed", "pcb@1 active default"));
  loader_ = LoadFake;
  EXPECT_TRUE(models_->lifecycle.Load("pcb", "2").ok());
  EXPECT_EQ(Answering("pcb@2"), "pcb@2");
}

TEST_F(ModelLifecycleTest, OnlyUnusedVersionsAreDeleted) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  ASSERT_TRUE(models_->lifecycle.Load("pcb", "2").ok());
  EXPECT_EQ(GetDetails(models_->lifecycle.Delete("pcb", "1").status()).reason, "MODEL_ACTIVE");
  EXPECT_EQ(GetDetails(models_->lifecycle.Delete("pcb", "2").status()).reason, "MODEL_LOADED");
  const auto deleted = models_->lifecycle.Delete("pcb", "3");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_GT(deleted->freed_bytes, 0u);
  EXPECT_EQ(deleted->hash.size(), 64u);
  EXPECT_EQ(models_->lifecycle.Delete("pcb", "3").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 loaded", "pcb@1 active default"));
  for (const auto& entry : fs::directory_iterator(root_ / "pcb")) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("staging")));
  }
}

TEST_F(ModelLifecycleTest, AVersionThatIsActiveOnAnotherServerIsNotDeleted) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  // As another server that shares the store does.
  ASSERT_TRUE(ModelStore(root_.path()).SetActive("pcb", {"2", ""}).ok());
  EXPECT_EQ(GetDetails(models_->lifecycle.Delete("pcb", "2").status()).reason, "MODEL_ACTIVE");
  EXPECT_TRUE(fs::exists(root_ / "pcb/2/manifest.json"));
}

TEST_F(ModelLifecycleTest, AFailedActivationChangesNothing) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "2");
  loader_ = [](const fs::path&) {
    return absl::FailedPreconditionError("the probe scored 0.5 instead of 0.1");
  };
  const absl::Status status = models_->lifecycle.Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the probe scored 0.5 instead of 0.1"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 failed", "pcb@1 active default"));
  EXPECT_EQ(Pointer("pcb"), "1");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"failed\"} 1\n"));

  loader_ = LoadFake;
  EXPECT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok())
      << "the activation can be repeated";
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, ActivateFailsWhenThePointerCannotBeWritten) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  fs::remove(root_ / "pcb/active");
  fs::create_directories(root_ / "pcb/active/in the way");
  EXPECT_FALSE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(Find("pcb@2").value().state, ModelState::kStored);
}

TEST_F(ModelLifecycleTest, ADamagedVersionCanBeActivatedAfterARepair) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  const std::string manifest = testing::ReadText(root_ / "pcb/2/manifest.json");
  WriteText(root_ / "pcb/2/manifest.json", "{");
  const absl::Status status = models_->lifecycle.Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("manifest.json"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  WriteText(root_ / "pcb/2/manifest.json", manifest);
  EXPECT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  EXPECT_TRUE(Find("pcb@2").value().manifest.has_value());
}

TEST_F(ModelLifecycleTest, ActivateListsTheKnownNamesAndVersions) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "7");
  Start();
  const absl::Status model = models_->lifecycle.Activate("gravel", "1", std::nullopt).status();
  EXPECT_EQ(model.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(model.message()), HasSubstr("brick, pcb"));
  const absl::Status version = models_->lifecycle.Activate("brick", "8", std::nullopt).status();
  EXPECT_EQ(version.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(version.message()), HasSubstr("there are: 7"));
}

TEST_F(ModelLifecycleTest, ActivateChecksTheExpectedVersion) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  for (const char* expected : {"", "2", "7"}) {
    const absl::Status status = models_->lifecycle.Activate("pcb", "2", expected).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << expected;
    EXPECT_EQ(GetDetails(status).field, "expected_active_version");
    EXPECT_THAT(std::string(status.message()), HasSubstr("pcb@1 is")) << expected;
  }
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_TRUE(models_->lifecycle.Activate("pcb", "2", "1").ok());
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, ActivatingTheActiveVersionWritesThePointerOnly) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  int loads = 0;
  loader_ = [&loads](const fs::path& directory) {
    ++loads;
    return LoadFake(directory);
  };
  Start();
  const auto swap = models_->lifecycle.Activate("pcb", "1", "1");
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->version, "1");
  EXPECT_EQ(swap->previous, "1");
  EXPECT_EQ(loads, 1);
  EXPECT_EQ(Pointer("pcb"), "1");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"ok\"} 0\n"));
}

TEST_F(ModelLifecycleTest, TheFirstVersionOfANewNameServesWhenActivated) {
  Start("pcb");
  EXPECT_FALSE(models_->catalog.Ready());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 stored"));
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              HasSubstr("no version of pcb is active"));
  EXPECT_FALSE(models_->catalog.Ready());
  const auto swap = models_->lifecycle.Activate("pcb", "1", "");
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->previous, "");
  EXPECT_TRUE(models_->catalog.Ready());
  EXPECT_EQ(Answering(""), "pcb@1");
}

TEST_F(ModelLifecycleTest, TheFirstVersionOfAnEmptyStoreIsTheDefault) {
  Start();
  ASSERT_TRUE(store_.Pin("later").ok());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "1");
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok());
  EXPECT_TRUE(models_->catalog.Ready());
  EXPECT_EQ(Answering(""), "pcb@1") << "a name without versions is not a model";
}

TEST_F(ModelLifecycleTest, NoRequestFailsDuringSwaps) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  Start();
  constexpr int kReaders = 4;
  constexpr int kSwaps = 50;
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        const auto handle = models_->catalog.Acquire("pcb");
        if (!handle.ok() || (*handle)->manifest().name != "pcb") ++failures;
      }
    });
  }
  // Two callers at once; each swap is complete before the next begins.
  std::vector<std::thread> callers;
  for (const char* version : {"1", "2"}) {
    callers.emplace_back([&, version] {
      for (int i = 0; i < kSwaps; ++i) {
        if (!models_->lifecycle.Activate("pcb", version, std::nullopt).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : callers) thread.join();
  done = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(failures, 0);
  const std::string active = Answering("pcb");
  EXPECT_EQ(absl::StrCat("pcb@", store_.List().value().at(0).active.value()), active);
}

}  // namespace
}  // namespace proad::server
