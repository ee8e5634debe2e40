// How versions are loaded into memory: one at a time, and only when they fit.
#include "server/serving/version_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/util/status_details.h"
#include "tests/support/model_serving_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::WriteText;

class VersionLoaderTest : public ModelServingFixture {};

// Bytes that loading a version of WriteFakeVersion needs.
int64_t Needed(const model::Manifest& manifest) {
  int64_t stored = 0;
  for (const auto& [file, digest] : manifest.files) stored += digest.bytes;
  return 3 * stored;
}

TEST_F(VersionLoaderTest, RefusesAVersionThatDoesNotFit) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  const int64_t needed = Needed(WriteFakeVersion(root_.path(), "pcb", "2")) + kReserve;
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  int loads = 0;
  loader_ = [&loads](const fs::path& directory) {
    ++loads;
    return LoadFake(directory);
  };
  memory_ = {.allocated = 500, .reserved = 600, .free = static_cast<uint64_t>(needed) - 101};
  for (const absl::Status& status :
       {models_->lifecycle.Load("pcb", "2").status(),
        models_->lifecycle.Activate("pcb", "2", std::nullopt).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(GetDetails(status).reason, "MODEL_DOES_NOT_FIT");
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("needs ", needed, " bytes")),
                      HasSubstr(absl::StrCat(needed - 1, " are available on cpu"))));
  }
  EXPECT_EQ(loads, 0);
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(store_.Pointer("pcb")->active.version, "1");
  ++memory_.free;
  EXPECT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
}

TEST_F(VersionLoaderTest, EvictsVersionsThatOnlyWaitForARollback) {
  for (const char* name : {"brick", "pcb"}) {
    for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), name, version);
    WriteText(root_ / name / "active", "1\n");
  }
  const int64_t needed = Needed(WriteFakeVersion(root_.path(), "gravel", "1")) + kReserve;
  WriteText(root_ / "gravel/active", "\n");
  Start();
  ASSERT_TRUE(models_->lifecycle.Activate("brick", "2", std::nullopt).ok());
  ASSERT_TRUE(models_->lifecycle.Load("brick", "3").ok());
  ASSERT_TRUE(models_->lifecycle.Activate("pcb", "2", std::nullopt).ok());
  // Every version takes as much as one needs to be loaded; nothing is free.
  const std::weak_ptr<ServableModel> kept[] = {models_->catalog.Acquire("brick@1").value(),
                                               models_->catalog.Acquire("pcb@1").value()};
  const auto let_go = [&kept] { return kept[0].expired() + kept[1].expired(); };
  measure_ = [&] { return MemoryRoom{.free = static_cast<uint64_t>(needed * let_go())}; };
  ASSERT_TRUE(models_->lifecycle.Activate("gravel", "1", std::nullopt).ok());
  EXPECT_EQ(let_go(), 1) << "no more than is needed";
  EXPECT_TRUE(kept[0].expired()) << "the one that served longest ago";
  measure_ = [] { return MemoryRoom{}; };
  EXPECT_FALSE(models_->lifecycle.Load("pcb", "3").ok());
  EXPECT_THAT(ListedStates(),
              ElementsAre("brick@3 loaded", "brick@2 active", "brick@1 stored", "gravel@1 active",
                          "pcb@3 failed", "pcb@2 active", "pcb@1 stored"))
      << "what was asked for, and what serves, stays";
  measure_ = nullptr;
  ASSERT_TRUE(models_->lifecycle.Activate("brick", "1", std::nullopt).ok()) << "it is loaded again";
}

TEST_F(VersionLoaderTest, LoadsOneVersionAtATime) {
  WriteFakeVersion(root_.path(), "brick", "1");
  WriteFakeVersion(root_.path(), "pcb", "1");
  Event holding, release;
  std::atomic<int> at_once = 0, most = 0;
  loader_ = [&](const fs::path& directory) {
    most = std::max<int>(most, ++at_once);
    if (directory.parent_path().filename() == "brick") {
      holding.Set();
      release.Wait();
    }
    --at_once;
    return LoadFake(directory);
  };
  Make("brick");
  ASSERT_TRUE(models_->scanner.Scan().ok());
  std::thread loading([&] { models_->follower.LoadActive([] {}); });
  holding.Wait();
  std::thread activating(
      [&] { EXPECT_TRUE(models_->lifecycle.Activate("pcb", "1", std::nullopt).ok()); });
  release.Set();
  activating.join();
  loading.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(Answering("brick"), "brick@1");
}

TEST_F(VersionLoaderTest, ChangesNothingAfterStop) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  models_->loader.Stop();
  const absl::Status status = models_->lifecycle.Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(status).reason, "DRAINING");
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

}  // namespace
}  // namespace proad::server
