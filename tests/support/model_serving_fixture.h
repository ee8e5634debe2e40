// The parts that serve models, over a store of fake versions.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/serving/model_serving.h"
#include "server/util/status_details.h"
#include "tests/support/fake_store.h"

namespace proad::server {

class ModelServingFixture : public ::testing::Test {
 protected:
  void Make(const std::string& default_model = "") {
    models_ = std::make_unique<ModelServing>(
        ModelServing::Options{
            .default_model = default_model,
            .memory_reserve = kReserve,
            .memory = {{"cpu", [this] { return measure_ ? measure_() : memory_; }}}},
        store_, [this](const std::filesystem::path& directory) { return loader_(directory); },
        metrics_);
  }

  void Start(const std::string& default_model = "") {
    Make(default_model);
    ASSERT_TRUE(models_->scanner.Scan().ok());
    models_->follower.LoadActive([] {});
  }

  // "name@version" of the handle that answers.
  std::string Answering(const std::string& model) {
    const auto handle = models_->catalog.Acquire(model);
    if (!handle.ok()) return absl::StrCat("error: ", handle.status().ToString());
    return absl::StrCat((*handle)->manifest().name, "@", (*handle)->manifest().version);
  }

  // The catalog after a scan.
  std::vector<ListedVersion> List() {
    EXPECT_TRUE(models_->scanner.Scan().ok());
    return models_->catalog.List();
  }
  absl::StatusOr<ListedVersion> Find(const std::string& model) {
    EXPECT_TRUE(models_->scanner.Scan().ok());
    return models_->catalog.Find(model);
  }

  // What the pointer of a model says, without hashes: "2", "2 before 1", "start 2", or "none".
  std::string Pointer(const std::string& model) {
    const auto pointer = VersionPointer::Read(root_ / model / kActivePointer);
    if (!pointer.ok()) return absl::StrCat("error: ", pointer.status().ToString());
    if (pointer->active.version.empty()) return "none";
    return absl::StrCat(pointer->activated ? "" : "start ", pointer->active.version,
                        pointer->before.version.empty() ? "" : " before ", pointer->before.version);
  }

  void ExpectError(const std::string& model, absl::StatusCode code, const std::string& reason,
                   const ::testing::Matcher<std::string>& message) {
    const absl::Status status = models_->catalog.Acquire(model).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(GetDetails(status).reason, reason);
    EXPECT_THAT(std::string(status.message()), message);
  }

  std::vector<std::string> ListedStates() {
    static const std::map<ModelState, std::string> kNames = {{ModelState::kStored, "stored"},
                                                             {ModelState::kLoading, "loading"},
                                                             {ModelState::kLoaded, "loaded"},
                                                             {ModelState::kActive, "active"},
                                                             {ModelState::kFailed, "failed"}};
    std::vector<std::string> states;
    const std::vector<ListedVersion> versions = List();
    for (const ListedVersion& listed : versions) {
      states.push_back(absl::StrCat(listed.name, "@", listed.version, " ", kNames.at(listed.state),
                                    listed.is_default ? " default" : ""));
    }
    return states;
  }

  static constexpr int64_t kReserve = 1000;

  testing::TempDirectory root_;
  ModelStore store_{root_.path()};
  Metrics metrics_;
  ModelLoader loader_ = LoadFake;
  MemoryRoom memory_ = {.free = 1 << 30};  // what the loader is told ...
  MeasureMemory measure_;                  // ... unless there is this
  std::unique_ptr<ModelServing> models_;
};

}  // namespace proad::server
