// How versions come into memory, serve, give way and go.
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
#include "server/serving/model_registry.h"
#include "server/util/status_details.h"
#include "tests/support/model_registry_fixture.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

class ModelLifecycleTest : public ModelRegistryFixture {};
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::WriteText;

TEST_F(ModelLifecycleTest, ActivateSwapsAndLasts) {
  const std::string first = WriteFakeVersion(root_.path(), "pcb", "1").hash;
  Start();
  const std::string second = WriteFakeVersion(root_.path(), "pcb", "2").hash;
  const ModelHandle held = registry_->Acquire("pcb").value();
  const auto swap = registry_->Activate("pcb", "2", std::nullopt);
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->version, "2");
  EXPECT_EQ(swap->hash, second);
  EXPECT_EQ(swap->previous, "1");
  EXPECT_EQ(swap->previous_hash, first);
  EXPECT_FALSE(swap->probe_score.has_value()) << "it has no probe";
  EXPECT_EQ(Answering("pcb"), "pcb@2");
  EXPECT_EQ(Answering(""), "pcb@2");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 active default", "pcb@1 loaded"));
  EXPECT_EQ(held->manifest().version, "1") << "who holds a handle keeps its version";

  const std::string metrics = metrics_.Serialize();
  EXPECT_THAT(metrics, AllOf(HasSubstr("proad_model_swaps_total{result=\"ok\"} 1\n"),
                             HasSubstr("proad_model_swaps_total{result=\"failed\"} 0\n"),
                             HasSubstr(absl::StrCat("proad_model_info{hash=\"", second)),
                             Not(HasSubstr(first))));

  // A version that is published later is newer, and yet the choice holds.
  WriteFakeVersion(root_.path(), "pcb", "3");
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, TheVersionThatServedStaysUntilTheNextSwap) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  const std::weak_ptr<ServableModel> first = registry_->Acquire("pcb").value();
  ModelHandle in_flight = first.lock();
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 stored", "pcb@2 active default", "pcb@1 loaded"));
  EXPECT_EQ(Answering("pcb@1"), "pcb@1") << "it answers to its full name";
  ASSERT_TRUE(registry_->Activate("pcb", "3", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 active default", "pcb@2 loaded", "pcb@1 stored"));
  EXPECT_FALSE(first.expired()) << "a request holds it";
  in_flight.reset();
  EXPECT_TRUE(first.expired());
}

TEST_F(ModelLifecycleTest, TheVersionBeforeComesBackAtOnce) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  EXPECT_EQ(GetDetails(registry_->Replaced("pcb").status()).reason, "NO_VERSION_BEFORE");
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  loader_ = [](const fs::path&) { return absl::InternalError("nothing needs to be loaded"); };
  for (const char* version : {"1", "2"}) {
    const auto replaced = registry_->Replaced("pcb");
    ASSERT_TRUE(replaced.ok()) << replaced.status();
    EXPECT_EQ(replaced->version, version);
    const auto swap = registry_->Activate("pcb", replaced->version, replaced->active);
    ASSERT_TRUE(swap.ok()) << swap.status();
    EXPECT_EQ(Answering("pcb"), absl::StrCat("pcb@", version));
  }
  EXPECT_EQ(registry_->Replaced("brick").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelLifecycleTest, WhatServedWithoutAPointerComesBack) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  // By now the store would say that version 2 serves: there is no pointer, and it is the newest.
  WriteFakeVersion(root_.path(), "pcb", "2");
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  const auto replaced = registry_->Replaced("pcb");
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_EQ(replaced->version, "1");
}

TEST_F(ModelLifecycleTest, TheVersionBeforeIsKnownAfterARestart) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  Start();
  EXPECT_EQ(Answering("pcb"), "pcb@2");
  EXPECT_EQ(registry_->Replaced("pcb")->version, "1");
  fs::remove_all(root_ / "pcb/1");
  const absl::Status gone = registry_->Replaced("pcb").status();
  EXPECT_EQ(gone.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(gone.message()), HasSubstr("pcb@1, is not in the store any more"));
}

TEST_F(ModelLifecycleTest, WhatWasLoadedOnRequestStaysUntilItIsUnloaded) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  {
    const auto loaded = registry_->Load("pcb", "3");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_TRUE(loaded->took.has_value());
    EXPECT_EQ(loaded->state, ModelState::kLoaded);
  }
  EXPECT_EQ(Answering("pcb@3"), "pcb@3");
  EXPECT_EQ(Answering("pcb"), "pcb@1") << "it does not serve its name";
  EXPECT_FALSE(registry_->Load("pcb", "3")->took.has_value()) << "once is enough";
  EXPECT_EQ(registry_->Load("pcb", "1")->state, ModelState::kActive);
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  ASSERT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok());
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 loaded", "pcb@2 loaded", "pcb@1 active default"));

  const std::weak_ptr<ServableModel> third = registry_->Acquire("pcb@3").value();
  EXPECT_TRUE(registry_->Unload("pcb", "3").ok());
  EXPECT_TRUE(third.expired());
  EXPECT_TRUE(registry_->Unload("pcb", "3").ok()) << "to unload what is not loaded is OK";
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@3 stored", "pcb@2 loaded", "pcb@1 active default"));
  EXPECT_EQ(GetDetails(registry_->Unload("pcb", "1").status()).reason, "MODEL_ACTIVE");
  EXPECT_EQ(registry_->Unload("pcb", "4").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(registry_->Load("pcb", "4").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelLifecycleTest, AVersionThatCannotBeLoadedSaysWhyAndMayBeTriedAgain) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  loader_ = [](const fs::path&) { return absl::ResourceExhaustedError("it does not fit"); };
  EXPECT_EQ(registry_->Load("pcb", "2").status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 failed", "pcb@1 active default"));
  loader_ = LoadFake;
  EXPECT_TRUE(registry_->Load("pcb", "2").ok());
  EXPECT_EQ(Answering("pcb@2"), "pcb@2");
}

// What loading a version of WriteFakeVersion needs.
int64_t Needed(const model::Manifest& manifest) {
  int64_t stored = 0;
  for (const auto& [file, digest] : manifest.files) stored += digest.bytes;
  return 3 * stored;
}

TEST_F(ModelLifecycleTest, AVersionThatDoesNotFitIsNotLoaded) {
  const int64_t needed = Needed(WriteFakeVersion(root_.path(), "pcb", "2")) + kReserve;
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  int loads = 0;
  loader_ = [&loads](const fs::path& directory) {
    ++loads;
    return LoadFake(directory);
  };
  memory_ = {.allocated = 500, .reserved = 600, .free = static_cast<uint64_t>(needed) - 101};
  for (const absl::Status& status : {registry_->Load("pcb", "2").status(),
                                     registry_->Activate("pcb", "2", std::nullopt).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(GetDetails(status).reason, "MODEL_DOES_NOT_FIT");
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(absl::StrCat("needs ", needed, " bytes")),
                      HasSubstr(absl::StrCat(needed - 1, " are available on cpu"))));
  }
  EXPECT_EQ(loads, 0);
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(store_.Pointed("pcb").value(), "1");
  ++memory_.free;
  EXPECT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
}

TEST_F(ModelLifecycleTest, WhatIsOnlyKeptToComeBackGivesWay) {
  for (const char* name : {"brick", "pcb"}) {
    for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), name, version);
    WriteText(root_ / name / "active", "1\n");
  }
  const int64_t needed = Needed(WriteFakeVersion(root_.path(), "gravel", "1")) + kReserve;
  WriteText(root_ / "gravel/active", "\n");
  Start();
  ASSERT_TRUE(registry_->Activate("brick", "2", std::nullopt).ok());
  ASSERT_TRUE(registry_->Load("brick", "3").ok());
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  // Every version takes as much as one needs to be loaded; nothing is free.
  const std::weak_ptr<ServableModel> kept[] = {registry_->Acquire("brick@1").value(),
                                               registry_->Acquire("pcb@1").value()};
  const auto let_go = [&kept] { return kept[0].expired() + kept[1].expired(); };
  measure_ = [&] { return MemoryRoom{.free = static_cast<uint64_t>(needed * let_go())}; };
  ASSERT_TRUE(registry_->Activate("gravel", "1", std::nullopt).ok());
  EXPECT_EQ(let_go(), 1) << "no more than is needed";
  EXPECT_TRUE(kept[0].expired()) << "the one that served longest ago";
  measure_ = [] { return MemoryRoom{}; };
  EXPECT_FALSE(registry_->Load("pcb", "3").ok());
  EXPECT_THAT(ListedStates(),
              ElementsAre("brick@3 loaded", "brick@2 active", "brick@1 stored", "gravel@1 active",
                          "pcb@3 failed", "pcb@2 active", "pcb@1 stored"))
      << "what was asked for, and what serves, stays";
  measure_ = nullptr;
  ASSERT_TRUE(registry_->Activate("brick", "1", std::nullopt).ok()) << "it is loaded again";
}

TEST_F(ModelLifecycleTest, OnlyWhatNobodyUsesIsDeleted) {
  for (const char* version : {"1", "2", "3"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  ASSERT_TRUE(registry_->Load("pcb", "2").ok());
  EXPECT_EQ(GetDetails(registry_->Delete("pcb", "1").status()).reason, "MODEL_ACTIVE");
  EXPECT_EQ(GetDetails(registry_->Delete("pcb", "2").status()).reason, "MODEL_LOADED");
  const auto deleted = registry_->Delete("pcb", "3");
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_GT(deleted->freed_bytes, 0u);
  EXPECT_EQ(deleted->hash.size(), 64u);
  EXPECT_EQ(registry_->Delete("pcb", "3").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 loaded", "pcb@1 active default"));
  for (const auto& entry : fs::directory_iterator(root_ / "pcb")) {
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("staging")));
  }
}

TEST_F(ModelLifecycleTest, WhatServesElsewhereIsNotDeleted) {
  for (const char* version : {"1", "2"}) WriteFakeVersion(root_.path(), "pcb", version);
  WriteText(root_ / "pcb/active", "1\n");
  Start();
  // Another server that shares the store.
  ASSERT_TRUE(ModelStore(root_.path()).SetActive("pcb", "2").ok());
  EXPECT_EQ(GetDetails(registry_->Delete("pcb", "2").status()).reason, "MODEL_ACTIVE");
  EXPECT_TRUE(fs::exists(root_ / "pcb/2/manifest.json"));
}

TEST_F(ModelLifecycleTest, AVersionThatDoesNotLoadChangesNothing) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "2");
  loader_ = [](const fs::path&) {
    return absl::FailedPreconditionError("the probe scored 0.5 instead of 0.1");
  };
  const absl::Status status = registry_->Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the probe scored 0.5 instead of 0.1"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 failed", "pcb@1 active default"));
  EXPECT_EQ(testing::ReadText(root_ / "pcb/active"), "1\n");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"failed\"} 1\n"));

  loader_ = LoadFake;
  EXPECT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok()) << "it may be tried again";
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, AChoiceThatCannotBeWrittenDownIsNotMade) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  fs::create_directories(root_ / "pcb/active/in the way");
  EXPECT_FALSE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(registry_->Find("pcb@2").value().state, ModelState::kStored);
}

TEST_F(ModelLifecycleTest, ADamagedVersionIsRefusedAndMayBeRepaired) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  const std::string manifest = testing::ReadText(root_ / "pcb/2/manifest.json");
  WriteText(root_ / "pcb/2/manifest.json", "{");
  const absl::Status status = registry_->Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("manifest.json"));
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  WriteText(root_ / "pcb/2/manifest.json", manifest);
  EXPECT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_TRUE(registry_->Find("pcb@2").value().manifest.has_value());
}

TEST_F(ModelLifecycleTest, ActivateNamesWhatThereIs) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  WriteFakeVersion(root_.path(), "brick", "7");
  Start();
  const absl::Status model = registry_->Activate("gravel", "1", std::nullopt).status();
  EXPECT_EQ(model.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(model.message()), HasSubstr("brick, pcb"));
  const absl::Status version = registry_->Activate("brick", "8", std::nullopt).status();
  EXPECT_EQ(version.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(version.message()), HasSubstr("there are: 7"));
}

TEST_F(ModelLifecycleTest, ActivateGuardsAgainstTwoPeopleAtOnce) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  for (const char* expected : {"", "2", "7"}) {
    const absl::Status status = registry_->Activate("pcb", "2", expected).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << expected;
    EXPECT_EQ(GetDetails(status).field, "expected_active_version");
    EXPECT_THAT(std::string(status.message()), HasSubstr("pcb@1 is")) << expected;
  }
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_TRUE(registry_->Activate("pcb", "2", "1").ok());
  EXPECT_EQ(Answering("pcb"), "pcb@2");
}

TEST_F(ModelLifecycleTest, ToActivateTheActiveVersionLoadsNothingAndLasts) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  int loads = 0;
  loader_ = [&loads](const fs::path& directory) {
    ++loads;
    return LoadFake(directory);
  };
  Start();
  const auto swap = registry_->Activate("pcb", "1", "1");
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->version, "1");
  EXPECT_EQ(swap->previous, "1");
  EXPECT_EQ(loads, 1);
  EXPECT_EQ(testing::ReadText(root_ / "pcb/active"), "1\n");
  EXPECT_THAT(metrics_.Serialize(), HasSubstr("proad_model_swaps_total{result=\"ok\"} 0\n"));
}

TEST_F(ModelLifecycleTest, TheFirstVersionOfANewNameServesOnceActivated) {
  Start("pcb");
  EXPECT_FALSE(registry_->Ready());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "1");
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@1 stored"));
  ExpectError("pcb", absl::StatusCode::kNotFound, "MODEL_NOT_FOUND",
              HasSubstr("no version of pcb is active"));
  EXPECT_FALSE(registry_->Ready());
  const auto swap = registry_->Activate("pcb", "1", "");
  ASSERT_TRUE(swap.ok()) << swap.status();
  EXPECT_EQ(swap->previous, "");
  EXPECT_TRUE(registry_->Ready());
  EXPECT_EQ(Answering(""), "pcb@1");
}

TEST_F(ModelLifecycleTest, AnEmptyStoreGetsItsDefaultWithItsFirstVersion) {
  Start();
  ASSERT_TRUE(store_.Pin("later").ok());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "1");
  ASSERT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok());
  EXPECT_TRUE(registry_->Ready());
  EXPECT_EQ(Answering(""), "pcb@1") << "a name without versions is no model yet";
}

TEST_F(ModelLifecycleTest, NoRequestFailsWhileVersionsChange) {
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
        const auto handle = registry_->Acquire("pcb");
        if (!handle.ok() || (*handle)->manifest().name != "pcb") ++failures;
      }
    });
  }
  // Two people at once; each swap is one of theirs, and they never meet half-way.
  std::vector<std::thread> people;
  for (const char* version : {"1", "2"}) {
    people.emplace_back([&, version] {
      for (int i = 0; i < kSwaps; ++i) {
        if (!registry_->Activate("pcb", version, std::nullopt).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : people) thread.join();
  done = true;
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(failures, 0);
  const std::string active = Answering("pcb");
  EXPECT_EQ(absl::StrCat("pcb@", store_.List().value().at(0).active.value()), active);
}

TEST_F(ModelLifecycleTest, ActivateWaitsForTheVersionThatIsBeingLoaded) {
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
  ASSERT_TRUE(registry_->Scan().ok());
  std::thread loading([&] { registry_->LoadActive([] {}); });
  holding.Wait();
  std::thread activating([&] { EXPECT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok()); });
  release.Set();
  activating.join();
  loading.join();
  EXPECT_EQ(most, 1);
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(Answering("brick"), "brick@1");
}

TEST_F(ModelLifecycleTest, NothingIsActivatedAfterStop) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  registry_->Stop();
  const absl::Status status = registry_->Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(status).reason, "DRAINING");
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

}  // namespace
}  // namespace proad::server
