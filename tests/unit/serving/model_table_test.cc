#include "server/serving/model_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/fake_model.h"

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

model::Manifest ManifestOf(const std::string& hash) {
  model::Manifest manifest;
  manifest.hash = hash;
  return manifest;
}

StoredModel Stored(const std::string& name, const std::vector<std::string>& versions,
                   const std::string& active) {
  return {.name = name, .versions = versions, .active = active};
}

TEST(ModelTable, MergeAddsVersionsWithTheirManifests) {
  ModelTable table;
  ReadManifests read;
  read[{"pcb", "1"}] = {ManifestOf("first"), std::nullopt};
  read[{"pcb", "10"}] = {absl::DataLossError("manifest.json is damaged"), std::nullopt};
  table.Merge({Stored("pcb", {"10", "1"}, "1")}, read);
  EXPECT_THAT(table.models.at("pcb").NewestFirst(), ElementsAre("10", "1"));
  EXPECT_EQ(table.Find("pcb", "1")->state, ModelState::kStored);
  EXPECT_EQ(table.Find("pcb", "1")->hash(), "first");
  EXPECT_EQ(table.Find("pcb", "10")->state, ModelState::kFailed);
  EXPECT_EQ(table.Find("pcb", "10")->problem.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(table.Find("pcb", "2"), nullptr);
  EXPECT_EQ(table.Resolve({.name = "pcb", .version = ""})->second, "1");
}

TEST(ModelTable, MergeIgnoresAVersionThatIsNeitherKnownNorRead) {
  ModelTable table;
  table.Merge({Stored("pcb", {"1"}, "1")}, {});
  EXPECT_THAT(table.models.at("pcb").NewestFirst(), IsEmpty());
}

TEST(ModelTable, MergeKeepsKnownEntriesAndDropsLostOnes) {
  ModelTable table;
  ReadManifests read;
  for (const char* version : {"1", "2", "3"}) {
    read[{"pcb", version}] = {ManifestOf(version), std::nullopt};
  }
  table.Merge({Stored("pcb", {"3", "2", "1"}, "3")}, read);
  table.Find("pcb", "1")->keep = true;
  table.Find("pcb", "2")->handle = std::make_shared<FakeModel>();
  table.Merge({Stored("pcb", {"1"}, "1")}, {});
  EXPECT_TRUE(table.Find("pcb", "1")->keep);
  EXPECT_NE(table.Find("pcb", "2"), nullptr) << "it is in memory";
  EXPECT_EQ(table.Find("pcb", "3"), nullptr);
  EXPECT_EQ(table.models.at("pcb").active.value(), "1");
}

TEST(ModelTable, MergeReturnsAVersionInMemoryThatHasAnotherHashInTheStore) {
  ModelTable table;
  ReadManifests read;
  for (const char* version : {"1", "2"}) {
    read[{"pcb", version}] = {ManifestOf(version), std::nullopt};
  }
  table.Merge({Stored("pcb", {"2", "1"}, "2")}, read);
  table.models.at("pcb").decided = true;
  for (const char* version : {"1", "2"}) {
    table.Find("pcb", version)->handle = std::make_shared<FakeModel>();
    table.Find("pcb", version)->state = ModelState::kLoaded;
  }
  table.Find("pcb", "2")->state = ModelState::kActive;

  // Version 1 was only touched; version 2 is another one.
  read[{"pcb", "2"}] = {ManifestOf("another"), std::nullopt};
  const std::vector<ReplacedInStore> replaced = table.Merge({Stored("pcb", {"2", "1"}, "2")}, read);
  ASSERT_EQ(replaced.size(), 1u);
  EXPECT_EQ(replaced[0].version, "2");
  EXPECT_EQ(replaced[0].hash, "2");
  EXPECT_EQ(replaced[0].stored_hash, "another");
  EXPECT_TRUE(replaced[0].active);
  EXPECT_NE(replaced[0].handle, nullptr);
  EXPECT_NE(table.Find("pcb", "1")->handle, nullptr);
  EXPECT_EQ(table.Find("pcb", "2")->handle, nullptr);
  EXPECT_EQ(table.Find("pcb", "2")->state, ModelState::kStored);
  EXPECT_EQ(table.Find("pcb", "2")->hash(), "another");
  EXPECT_EQ(table.Resolve({.name = "pcb", .version = ""}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(ModelTable, MergeIgnoresTheManifestOfASlowerScan) {
  ModelTable table;
  const FileStamp now = {.inode = 2, .modified = 2, .bytes = 2};
  table.Merge({Stored("pcb", {"1"}, "1")},
              {{{"pcb", "1"}, {.manifest = ManifestOf("new"), .stamp = now}}});
  table.Find("pcb", "1")->handle = std::make_shared<FakeModel>();
  // The other scan began when the table did not have the version.
  const FileStamp earlier = {.inode = 1, .modified = 1, .bytes = 1};
  EXPECT_THAT(table.Merge({Stored("pcb", {"1"}, "1")},
                          {{{"pcb", "1"}, {.manifest = ManifestOf("old"), .stamp = earlier}}}),
              IsEmpty());
  EXPECT_EQ(table.Find("pcb", "1")->hash(), "new");
  EXPECT_EQ(table.Find("pcb", "1")->manifest_stamp, now);
}

TEST(ModelTable, MergeKeepsAVersionInMemoryWhoseManifestCannotBeRead) {
  ModelTable table;
  ReadManifests read;
  read[{"pcb", "1"}] = {ManifestOf("first"), std::nullopt};
  table.Merge({Stored("pcb", {"1"}, "1")}, read);
  table.Find("pcb", "1")->handle = std::make_shared<FakeModel>();
  read[{"pcb", "1"}] = {absl::DataLossError("manifest.json is damaged"), std::nullopt};
  EXPECT_THAT(table.Merge({Stored("pcb", {"1"}, "1")}, read), IsEmpty());
  EXPECT_NE(table.Find("pcb", "1")->handle, nullptr);
  EXPECT_EQ(table.Find("pcb", "1")->hash(), "first");
}

TEST(ModelTable, MergeKeepsTheActiveVersionOfADecidedModel) {
  ModelTable table;
  ReadManifests read;
  read[{"pcb", "1"}] = {ManifestOf("first"), std::nullopt};
  table.Merge({Stored("pcb", {"1"}, "1")}, read);
  table.models.at("pcb").decided = true;
  table.Merge({Stored("pcb", {"2", "1"}, "2")}, {});
  EXPECT_EQ(table.models.at("pcb").active.value(), "1");
  // The store has lost the whole model, which is in memory.
  table.Find("pcb", "1")->handle = std::make_shared<FakeModel>();
  table.Merge({}, {});
  EXPECT_EQ(table.models.at("pcb").active.value(), "1");
  EXPECT_TRUE(table.models.at("pcb").decided);
}

}  // namespace
}  // namespace proad::server
