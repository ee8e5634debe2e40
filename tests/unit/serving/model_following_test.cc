// How a server does what others on the same store decide.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/model_follower.h"
#include "server/serving/model_registry.h"
#include "server/util/status_details.h"
#include "tests/support/model_registry_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::WriteText;

class ModelFollowingTest : public ModelRegistryFixture {
 protected:
  ModelFollowingTest() {
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

TEST_F(ModelFollowingTest, WhatAnotherServerActivatesServesHereToo) {
  Start();
  EXPECT_FALSE(registry_->Follow(start_)) << "nothing has changed";
  ASSERT_TRUE(other_.SetActive("pcb", "3").ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1") << "not before it looks";
  EXPECT_TRUE(registry_->Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  EXPECT_EQ(Answering(""), "pcb@3");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 active default", "pcb@2 stored", "pcb@1 loaded"));
  EXPECT_EQ(testing::ReadText(root_ / "pcb/active"), "3\nbefore 1\n") << "it only reads";
  EXPECT_FALSE(registry_->Follow(start_));

  // Rolled back there: the version that was kept comes back without loading.
  const int loads = loads_;
  ASSERT_TRUE(other_.SetActive("pcb", "1").ok());
  EXPECT_TRUE(registry_->Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(loads_, loads);
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"ok\"} 2\n"));
}

TEST_F(ModelFollowingTest, NothingIsFollowedBeforeTheStartIsOver) {
  Make();
  ASSERT_TRUE(registry_->Scan().ok());
  EXPECT_FALSE(registry_->Follow(start_));
  EXPECT_EQ(loads_, 0);
}

TEST_F(ModelFollowingTest, ANameThatIsNewServesOnceItHasAPointer) {
  Start("pcb");
  WriteFakeVersion(root_.path(), "brick", "1");
  EXPECT_FALSE(registry_->Follow(start_)) << "published, and activated by nobody";
  ASSERT_TRUE(other_.SetActive("brick", "1").ok());
  EXPECT_TRUE(registry_->Follow(start_));
  EXPECT_EQ(Answering("brick"), "brick@1");
}

TEST_F(ModelFollowingTest, ANewerVersionWithoutAPointerIsNotFollowed) {
  fs::remove(root_ / "pcb/active");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@3");
  WriteFakeVersion(root_.path(), "pcb", "4");
  EXPECT_FALSE(registry_->Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(ModelFollowingTest, ABadVersionDisturbsNothingAndIsTriedMoreAndMoreSeldom) {
  Start();
  broken_ = "2";
  ASSERT_TRUE(other_.SetActive("pcb", "2").ok());
  loads_ = 0;
  // Two hours of looks, every two seconds.
  for (int i = 0; i < 3600; ++i) registry_->Follow(start_ + absl::Seconds(2 * i));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(registry_->Find("pcb@2")->state, ModelState::kFailed);
  EXPECT_GE(loads_, 10);
  EXPECT_LE(loads_, 20);
  EXPECT_THAT(
      metrics_.Serialize(),
      HasSubstr(absl::StrCat("proad_model_swaps_total{result=\"failed\"} ", loads_.load())));

  // Repaired: the next attempt succeeds by itself.
  broken_ = "";
  EXPECT_TRUE(registry_->Follow(start_ + absl::Hours(3)));
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelFollowingTest, AnotherPointerIsFollowedAtOnceAfterABadOne) {
  Start();
  broken_ = "2";
  ASSERT_TRUE(other_.SetActive("pcb", "2").ok());
  EXPECT_FALSE(registry_->Follow(start_));
  ASSERT_TRUE(other_.SetActive("pcb", "3").ok());
  EXPECT_TRUE(registry_->Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@3");
}

TEST_F(ModelFollowingTest, WhatFailedAtTheStartIsTriedAgainLater) {
  broken_ = "1";
  Start();
  EXPECT_FALSE(registry_->Ready());
  loads_ = 0;
  EXPECT_FALSE(registry_->Follow(absl::Now()));
  EXPECT_EQ(loads_, 0) << "not at once";
  broken_ = "";
  EXPECT_TRUE(registry_->Follow(absl::Now() + absl::Minutes(1)));
  EXPECT_TRUE(registry_->Ready());
}

TEST_F(ModelFollowingTest, ADamagedPointerLeavesWhatServes) {
  Start();
  for (const char* pointer : {"7\n", "", "1\n2\n3\n", "../1\n"}) {
    WriteText(root_ / "pcb/active", pointer);
    EXPECT_FALSE(registry_->Follow(start_)) << pointer;
    EXPECT_EQ(Answering("pcb"), "pcb@1") << pointer;
  }
  fs::remove_all(root_.path());
  EXPECT_FALSE(registry_->Follow(start_)) << "the store is away";
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelFollowingTest, NothingIsFollowedAfterStop) {
  Start();
  ASSERT_TRUE(other_.SetActive("pcb", "2").ok());
  registry_->Stop();
  EXPECT_FALSE(registry_->Follow(start_));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelFollowingTest, TwoServersOnOneStoreComeToAgree) {
  Start();
  ModelRegistry second({.default_model = "pcb", .memory = {{"cpu", [this] { return memory_; }}}},
                       store_, LoadFake, metrics_);
  ASSERT_TRUE(second.Scan().ok());
  second.LoadActive([] {});
  // Each is changed by somebody, and follows the other meanwhile.
  const auto busy = [this](ModelRegistry& registry, const char* mine) {
    for (int i = 0; i < 30; ++i) {
      EXPECT_TRUE(registry.Activate("pcb", mine, std::nullopt).ok());
      registry.Follow(start_);
    }
  };
  std::thread first_thread([&] { busy(*registry_, "2"); });
  std::thread second_thread([&] { busy(second, "3"); });
  first_thread.join();
  second_thread.join();
  registry_->Follow(start_);
  second.Follow(start_);
  const std::string active = store_.Pointed("pcb").value();
  EXPECT_EQ(Answering("pcb"), absl::StrCat("pcb@", active));
  EXPECT_EQ(second.Acquire("pcb").value()->manifest().version, active);
}

TEST_F(ModelFollowingTest, TheFollowerLooksByItself) {
  Start();
  Event changed;
  ModelFollower follower(*registry_, absl::Milliseconds(1), [&] { changed.Set(); });
  follower.Start();
  ASSERT_TRUE(other_.SetActive("pcb", "2").ok());
  changed.Wait();
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelFollowingTest, AFollowerWithoutAnIntervalDoesNothing) {
  Start();
  ModelFollower follower(*registry_, absl::ZeroDuration(), [] { FAIL(); });
  follower.Start();
  follower.Stop();
}

}  // namespace
}  // namespace proad::server
