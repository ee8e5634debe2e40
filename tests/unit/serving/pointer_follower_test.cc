// How a server loads the active versions at the start, and activates the versions that the
// pointers name later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/model_serving.h"
#include "server/util/status_details.h"
#include "tests/support/model_serving_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteText;

class StartTest : public ModelServingFixture {};

class PointerFollowerTest : public ModelServingFixture {
 protected:
  PointerFollowerTest() {
    for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
    WriteText(root_ / "pcb/active", "1\n");
    loader_ = [this](const fs::path& directory) -> absl::StatusOr<ModelHandle> {
      ++loads_;
      if (directory.filename() == broken_) return absl::InternalError("it is broken");
      return LoadFake(directory);
    };
  }

  const absl::Time start_ = absl::Now();
  std::string broken_;  // the version that does not load
  std::atomic<int> loads_ = 0;
  ModelStore other_{root_.path()};  // as another server sees the store
};

TEST_F(StartTest, AVersionThatFailsAtTheStartAffectsNoOther) {
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
  EXPECT_THAT(std::string(Find("brick").value().problem.message()), HasSubstr("the probe scored"));
}

TEST_F(StartTest, DamagedManifestsAreListedAsFailedAndNeverLoaded) {
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
  EXPECT_THAT(std::string(Find("brick@2").value().problem.message()),
              AllOf(HasSubstr("manifest.json"), HasSubstr("brick@1")));
  EXPECT_THAT(std::string(Find("pcb").value().problem.message()), HasSubstr("manifest.json"));
}

TEST_F(StartTest, LoadsTheDefaultModelFirstAndIsReadyWithIt) {
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
  ASSERT_TRUE(models_->scanner.Scan().ok());
  std::vector<bool> ready;
  EXPECT_FALSE(models_->catalog.Ready());
  ExpectError("", absl::StatusCode::kUnavailable, "NO_MODEL_READY", HasSubstr("being loaded"));

  std::thread loading(
      [&] { models_->follower.LoadActive([&] { ready.push_back(models_->catalog.Ready()); }); });
  holding.Wait();
  EXPECT_TRUE(models_->catalog.Ready());
  EXPECT_EQ(Answering(""), "pcb@1");
  ExpectError("brick", absl::StatusCode::kUnavailable, "MODEL_LOADING", HasSubstr("being loaded"));
  EXPECT_TRUE(GetDetails(models_->catalog.Acquire("brick").status()).retry_after.has_value());
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 loading", "pcb@1 active default"));
  release.Set();
  loading.join();
  EXPECT_EQ(Answering("brick"), "brick@1");
  EXPECT_THAT(ready, ElementsAre(true, true, true));
}

TEST_F(StartTest, StopEndsTheStartAfterTheVersionInProgress) {
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "pcb", "1");
  loader_ = [&](const fs::path& directory) {
    models_->loader.Stop();
    return LoadFake(directory);
  };
  Start("pcb");
  EXPECT_THAT(ListedStates(), ElementsAre("brick@1 stored", "pcb@1 active default"));
}

TEST_F(PointerFollowerTest, ActivatesWhatAnotherServerActivated) {
  Start();
  EXPECT_FALSE(models_->follower.Follow(start_)) << "nothing has changed";
  ASSERT_TRUE(other_.SetActive("pcb", {"3", ""}).ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1") << "before the next look";
  EXPECT_TRUE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  EXPECT_EQ(Answering(""), "pcb@3");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 active default", "pcb@2 stored", "pcb@1 loaded"));
  EXPECT_EQ(Pointer("pcb"), "3 before 1");
  EXPECT_FALSE(models_->follower.Follow(start_));

  // The other server rolls back: the version that stayed in memory needs no load.
  const int loads = loads_;
  ASSERT_TRUE(other_.SetActive("pcb", {"1", ""}).ok());
  EXPECT_TRUE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(loads_, loads);
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"ok\"} 2\n"));
}

TEST_F(PointerFollowerTest, DoesNothingBeforeTheStartHasEnded) {
  Make();
  ASSERT_TRUE(models_->scanner.Scan().ok());
  EXPECT_FALSE(models_->follower.Follow(start_));
  EXPECT_EQ(loads_, 0);
}

TEST_F(PointerFollowerTest, ActivatesANewNameOnceItHasAPointer) {
  Start("pcb");
  WriteFakeVersion(root_.path(), "brick", "1");
  EXPECT_FALSE(models_->follower.Follow(start_)) << "published but not activated";
  ASSERT_TRUE(other_.SetActive("brick", {"1", ""}).ok());
  EXPECT_TRUE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("brick"), "brick@1");
}

TEST_F(PointerFollowerTest, IgnoresANewerVersion) {
  fs::remove(root_ / "pcb/active");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  WriteFakeVersion(root_.path(), "pcb", "4");
  EXPECT_FALSE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(PointerFollowerTest, RetriesAVersionThatDoesNotLoadAfterGrowingPauses) {
  Start();
  broken_ = "2";
  ASSERT_TRUE(other_.SetActive("pcb", {"2", ""}).ok());
  loads_ = 0;
  // Two hours of calls, two seconds apart.
  for (int i = 0; i < 3600; ++i) models_->follower.Follow(start_ + absl::Seconds(2 * i));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(Find("pcb@2")->state, ModelState::kFailed);
  EXPECT_GE(loads_, 10);
  EXPECT_LE(loads_, 20);
  EXPECT_THAT(
      metrics_.Serialize(),
      HasSubstr(absl::StrCat("proad_model_swaps_total{result=\"failed\"} ", loads_.load())));

  // After a repair the next attempt succeeds.
  broken_ = "";
  EXPECT_TRUE(models_->follower.Follow(start_ + absl::Hours(3)));
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(PointerFollowerTest, FollowsAnotherPointerAtOnceAfterAFailure) {
  Start();
  broken_ = "2";
  ASSERT_TRUE(other_.SetActive("pcb", {"2", ""}).ok());
  EXPECT_FALSE(models_->follower.Follow(start_));
  ASSERT_TRUE(other_.SetActive("pcb", {"3", ""}).ok());
  EXPECT_TRUE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(PointerFollowerTest, RetriesAVersionThatFailedAtTheStart) {
  broken_ = "1";
  Start();
  EXPECT_FALSE(models_->catalog.Ready());
  loads_ = 0;
  EXPECT_FALSE(models_->follower.Follow(absl::Now()));
  EXPECT_EQ(loads_, 0) << "not at once";
  broken_ = "";
  EXPECT_TRUE(models_->follower.Follow(absl::Now() + absl::Minutes(1)));
  EXPECT_TRUE(models_->catalog.Ready());
}

TEST_F(PointerFollowerTest, IgnoresADamagedPointer) {
  Start();
  for (const char* pointer : {"7\n", "", "1\n2\n3\n", "../1\n"}) {
    WriteText(root_ / "pcb/active", pointer);
    EXPECT_FALSE(models_->follower.Follow(start_)) << pointer;
    EXPECT_EQ(Answering("pcb"), "pcb@1") << pointer;
  }
  fs::remove_all(root_.path());
  EXPECT_FALSE(models_->follower.Follow(start_)) << "the store is missing";
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(PointerFollowerTest, DoesNothingAfterStop) {
  Start();
  ASSERT_TRUE(other_.SetActive("pcb", {"2", ""}).ok());
  models_->loader.Stop();
  EXPECT_FALSE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(PointerFollowerTest, TwoServersOnOneStoreAgree) {
  Start();
  ModelServing second({.default_model = "pcb", .memory = {{"cpu", [this] { return memory_; }}}},
                      store_, LoadFake, metrics_);
  ASSERT_TRUE(second.scanner.Scan().ok());
  second.follower.LoadActive([] {});
  // Each server gets activations and follows the other one.
  const auto busy = [this](ModelServing& models, const char* mine) {
    for (int i = 0; i < 30; ++i) {
      EXPECT_TRUE(models.lifecycle.Activate("pcb", mine, std::nullopt).ok());
      models.follower.Follow(start_);
    }
  };
  std::thread first_thread([&] { busy(*models_, "2"); });
  std::thread second_thread([&] { busy(second, "3"); });
  first_thread.join();
  second_thread.join();
  models_->follower.Follow(start_);
  second.follower.Follow(start_);
  const std::string active = store_.Pointer("pcb")->active.version;
  EXPECT_EQ(Answering("pcb"), absl::StrCat("pcb@", active));
  EXPECT_EQ(second.catalog.Acquire("pcb").value()->manifest().version, active);
}

TEST_F(PointerFollowerTest, ReplacesAVersionInMemoryThatAnotherServerReplacedInTheStore) {
  WriteText(root_ / "pcb/active", "2\n");
  Start();
  const std::string old_hash = models_->catalog.Acquire("pcb").value()->manifest().hash;
  // Another server rolls back, deletes version 2, gets a new version 2 and activates it.
  ModelServing other({.memory = {{"cpu", [this] { return memory_; }}}}, other_, LoadFake, metrics_);
  ASSERT_TRUE(other.scanner.Scan().ok());
  other.follower.LoadActive([] {});
  ASSERT_TRUE(other.lifecycle.Activate("pcb", "1", std::nullopt).ok());
  const std::string new_hash = ReplaceFakeVersion(root_.path(), "pcb", "2").hash;
  ASSERT_NE(new_hash, old_hash);
  const auto swap = other.lifecycle.Activate("pcb", "2", std::nullopt);
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->hash, new_hash);

  EXPECT_TRUE(models_->follower.Follow(start_));
  EXPECT_EQ(models_->catalog.Acquire("pcb").value()->manifest().hash, new_hash);
  EXPECT_EQ(models_->catalog.Acquire("pcb@2").value()->manifest().hash, new_hash);
  EXPECT_EQ(Find("pcb@2")->manifest->hash, new_hash);
  EXPECT_THAT(metrics_.Serialize(), Not(HasSubstr(old_hash)));
}

TEST_F(PointerFollowerTest, AReplacedVersionDoesNotServeBeforeItIsActivated) {
  WriteText(root_ / "pcb/active", "2\n");
  Start();
  const std::string new_hash = ReplaceFakeVersion(root_.path(), "pcb", "2").hash;
  EXPECT_TRUE(models_->follower.Follow(start_)) << "the old version leaves memory";
  EXPECT_FALSE(models_->catalog.Ready());
  ExpectError("pcb", absl::StatusCode::kFailedPrecondition, "VERSION_REPLACED",
              AllOf(HasSubstr("pcb@2"), HasSubstr(new_hash)));
  EXPECT_FALSE(models_->follower.Follow(start_ + absl::Hours(1)));
  // Nor after a restart.
  Start();
  ExpectError("pcb", absl::StatusCode::kFailedPrecondition, "VERSION_REPLACED",
              AllOf(HasSubstr("pcb/active"), HasSubstr(new_hash)));
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(models_->catalog.Acquire("pcb").value()->manifest().hash, new_hash);
}

TEST_F(PointerFollowerTest, ARollbackLeavesAReplacedVersion) {
  Start();
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  ReplaceFakeVersion(root_.path(), "pcb", "2");
  EXPECT_TRUE(models_->follower.Follow(start_));
  const auto swap = models_->lifecycle.RollBack("pcb", std::nullopt);
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(PointerFollowerTest, TheStartPinsTheVersionThatServes) {
  fs::remove(root_ / "pcb/active");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  EXPECT_EQ(Pointer("pcb"), "3");
  WriteFakeVersion(root_.path(), "pcb", "4");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

// While it exists, no file of the process can grow, as on a full disk.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none = {0, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(PointerFollowerTest, AVersionServesThoughThePointerCannotBeWritten) {
  fs::remove(root_ / "pcb/active");
  {
    const FullDisk full;
    Start();
  }
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  EXPECT_FALSE(fs::exists(root_ / "pcb/active"));
  EXPECT_FALSE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(PointerFollowerTest, AJobDoesNotActivateAnImportedVersion) {
  fs::remove(root_ / "pcb/active");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "4");
  ASSERT_TRUE(other_.Pin("pcb").ok()) << "as a trainer does at its start";
  EXPECT_FALSE(models_->follower.Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(PointerFollowerTest, AJobDoesNotActivateAnImportedVersionOfANewName) {
  Start("pcb");
  WriteFakeVersion(root_.path(), "brick", "1");
  ASSERT_TRUE(other_.Pin("brick").ok());
  EXPECT_FALSE(models_->follower.Follow(start_));
  ExpectError("brick", absl::StatusCode::kFailedPrecondition, "MODEL_NOT_LOADED",
              HasSubstr("brick@1"));
  // The version that the job publishes does not serve after a restart either.
  WriteFakeVersion(root_.path(), "brick", "2");
  Start("pcb");
  EXPECT_EQ(Answering("brick"), "brick@1");
  EXPECT_EQ(Pointer("brick"), "1");
}

TEST_F(PointerFollowerTest, TheStartAddsHashesToAPointerOfFormat1) {
  WriteText(root_ / "pcb/active", "2\nbefore 1\n");
  Start();
  const auto pointer = VersionPointer::Read(root_ / "pcb/active");
  ASSERT_TRUE(pointer.ok()) << pointer.status();
  EXPECT_EQ(pointer->active, (PointedVersion{"2", Find("pcb@2")->manifest->hash}));
  EXPECT_EQ(pointer->before, (PointedVersion{"1", Find("pcb@1")->manifest->hash}));
}

}  // namespace
}  // namespace proad::server
