#include "server/serving/model_registry.h"

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
#include "tests/support/fake_store.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDirectory;
using testing::WriteText;

// A registry over a store of fake versions.
class ModelRegistryTest : public ::testing::Test {
 protected:
  void Make(const std::string& default_model = "") {
    registry_ = std::make_unique<ModelRegistry>(
        ModelRegistry::Options{.default_model = default_model}, store_,
        [this](const fs::path& directory) { return loader_(directory); }, metrics_);
  }

  void Start(const std::string& default_model = "") {
    Make(default_model);
    ASSERT_TRUE(registry_->Scan().ok());
    registry_->LoadActive([] {});
  }

  // "name@version" of the handle that answers.
  std::string Answering(const std::string& model) {
    const auto handle = registry_->Acquire(model);
    if (!handle.ok()) return absl::StrCat("error: ", handle.status().ToString());
    return absl::StrCat((*handle)->manifest().name, "@", (*handle)->manifest().version);
  }

  void ExpectError(const std::string& model, absl::StatusCode code, const std::string& reason,
                   const ::testing::Matcher<std::string>& message) {
    const absl::Status status = registry_->Acquire(model).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(GetDetails(status).reason, reason);
    EXPECT_THAT(std::string(status.message()), message);
  }

  std::vector<std::string> ListedStates() {
    static const std::map<ModelState, std::string> kNames = {{ModelState::kStored, "stored"},
                                                             {ModelState::kLoading, "loading"},
                                                             {ModelState::kActive, "active"},
                                                             {ModelState::kFailed, "failed"}};
    std::vector<std::string> states;
    const std::vector<ListedVersion> versions = registry_->List().value();
    for (const ListedVersion& listed : versions) {
      states.push_back(absl::StrCat(listed.name, "@", listed.version, " ", kNames.at(listed.state),
                                    listed.is_default ? " default" : ""));
    }
    return states;
  }

  TempDirectory root_;
  ModelStore store_{root_.path()};
  Metrics metrics_;
  ModelLoader loader_ = LoadFake;
  std::unique_ptr<ModelRegistry> registry_;
};

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

TEST_F(ModelRegistryTest, ActivateSwapsAndLasts) {
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
  EXPECT_THAT(ListedStates(), ElementsAre("pcb@2 active default", "pcb@1 stored"));
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

TEST_F(ModelRegistryTest, TheVersionThatIsLetGoLeavesTheMemory) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  const std::weak_ptr<ServableModel> old = registry_->Acquire("pcb").value();
  ModelHandle in_flight = old.lock();
  ASSERT_TRUE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_FALSE(old.expired());
  in_flight.reset();
  EXPECT_TRUE(old.expired());
}

TEST_F(ModelRegistryTest, AVersionThatDoesNotLoadChangesNothing) {
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

TEST_F(ModelRegistryTest, AChoiceThatCannotBeWrittenDownIsNotMade) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  fs::create_directories(root_ / "pcb/active/in the way");
  EXPECT_FALSE(registry_->Activate("pcb", "2", std::nullopt).ok());
  EXPECT_EQ(Answering("pcb"), "pcb@1");
  EXPECT_EQ(registry_->Find("pcb@2").value().state, ModelState::kStored);
}

TEST_F(ModelRegistryTest, ADamagedVersionIsRefusedAndMayBeRepaired) {
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

TEST_F(ModelRegistryTest, ActivateNamesWhatThereIs) {
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

TEST_F(ModelRegistryTest, ActivateGuardsAgainstTwoPeopleAtOnce) {
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

TEST_F(ModelRegistryTest, ToActivateTheActiveVersionLoadsNothingAndLasts) {
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

TEST_F(ModelRegistryTest, TheFirstVersionOfANewNameServesOnceActivated) {
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

TEST_F(ModelRegistryTest, AnEmptyStoreGetsItsDefaultWithItsFirstVersion) {
  Start();
  ASSERT_TRUE(store_.Pin("later").ok());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  WriteFakeVersion(root_.path(), "pcb", "1");
  ASSERT_TRUE(registry_->Activate("pcb", "1", std::nullopt).ok());
  EXPECT_TRUE(registry_->Ready());
  EXPECT_EQ(Answering(""), "pcb@1") << "a name without versions is no model yet";
}

TEST_F(ModelRegistryTest, NoRequestFailsWhileVersionsChange) {
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
  EXPECT_EQ(absl::StrCat("pcb@", testing::ReadText(root_ / "pcb/active")), active + "\n");
}

TEST_F(ModelRegistryTest, ActivateWaitsForTheVersionThatIsBeingLoaded) {
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

TEST_F(ModelRegistryTest, NothingIsActivatedAfterStop) {
  WriteFakeVersion(root_.path(), "pcb", "1");
  Start();
  WriteFakeVersion(root_.path(), "pcb", "2");
  registry_->Stop();
  const absl::Status status = registry_->Activate("pcb", "2", std::nullopt).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetDetails(status).reason, "DRAINING");
  EXPECT_EQ(Answering("pcb"), "pcb@1");
}

TEST_F(ModelRegistryTest, AMissingStoreIsAnError) {
  fs::remove_all(root_.path());
  Make();
  EXPECT_EQ(registry_->Scan().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace proad::server
