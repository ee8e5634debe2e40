#include "server/serving/model_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "server/util/status_details.h"
#include "tests/support/fake_store.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::TempDirectory;
using testing::WriteText;

class ModelStoreTest : public ::testing::Test {
 protected:
  void Make(const std::string& path) { fs::create_directories(root_ / path); }

  // The only model in the store.
  StoredModel Only() {
    auto models = store_.List();
    EXPECT_TRUE(models.ok()) << models.status();
    EXPECT_THAT(*models, SizeIs(1));
    return models->at(0);
  }

  TempDirectory root_;
  ModelStore store_{root_.path()};
};

TEST_F(ModelStoreTest, ListsModelsByNameAndVersionsNewestFirst) {
  for (const char* path : {"pcb/1", "pcb/10", "pcb/9", "brick/2026-03", "empty"}) Make(path);
  const auto models = store_.List();
  ASSERT_TRUE(models.ok()) << models.status();
  ASSERT_THAT(*models, SizeIs(3));
  EXPECT_EQ(models->at(0).name, "brick");
  EXPECT_EQ(models->at(1).name, "empty");
  EXPECT_EQ(models->at(2).name, "pcb");
  EXPECT_THAT(models->at(2).versions, ElementsAre("10", "9", "1"));
  EXPECT_EQ(models->at(2).active.value(), "10");
  EXPECT_EQ(models->at(1).active.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelStoreTest, SkipsWhatIsNeitherModelNorVersion) {
  for (const char* path : {"pcb/1", "pcb/.staging-2-abc", "pcb/UPPER", ".hidden/1", "Bad Name/1"}) {
    Make(path);
  }
  WriteText(root_ / "README", "a file");
  WriteText(root_ / "pcb/3", "a file named like a version");
  EXPECT_THAT(Only().versions, ElementsAre("1"));
}

TEST_F(ModelStoreTest, ThePointerChoosesTheActiveVersion) {
  for (const char* path : {"pcb/1", "pcb/2", "pcb/3"}) Make(path);
  WriteText(root_ / "pcb/active", "2\n");
  EXPECT_EQ(Only().active.value(), "2");
  WriteText(root_ / "pcb/active", "1");
  EXPECT_EQ(Only().active.value(), "1");
  fs::remove(root_ / "pcb/active");
  EXPECT_EQ(Only().active.value(), "3");
}

TEST_F(ModelStoreTest, APointerToAMissingVersionIsAnError) {
  Make("pcb/1");
  for (const std::string& pointer : {std::string("7"), std::string("../pcb/1"), std::string("1\n1"),
                                     std::string(1 << 20, '1'), std::string("1\0", 2)}) {
    WriteText(root_ / "pcb/active", pointer);
    const absl::Status status = Only().active.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << pointer.substr(0, 20);
    EXPECT_THAT(std::string(status.message()), HasSubstr("pcb/active"));
  }
}

TEST_F(ModelStoreTest, AnEmptyPointerMeansThatNoVersionIsActive) {
  Make("pcb/1");
  for (const char* pointer : {"", "\n"}) {
    WriteText(root_ / "pcb/active", pointer);
    const absl::Status status = Only().active.status();
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
    EXPECT_THAT(std::string(status.message()), HasSubstr("no version of pcb is active"));
  }
}

TEST_F(ModelStoreTest, SetActiveIsReadByTheNextStore) {
  for (const char* path : {"pcb/1", "pcb/2", "pcb/3"}) Make(path);
  ASSERT_TRUE(store_.SetActive("pcb", {"2", ""}).ok());
  EXPECT_EQ(Only().active.value(), "2");
  ASSERT_TRUE(store_.SetActive("pcb", {"1", ""}).ok());
  ASSERT_TRUE(store_.SetActive("pcb", {"1", ""}).ok());
  EXPECT_EQ(ModelStore(root_.path()).List().value().at(0).active.value(), "1");
}

TEST_F(ModelStoreTest, SetActiveRefusesAMissingVersionAndChangesNothing) {
  Make("pcb/1");
  Make("pcb/2");
  ASSERT_TRUE(store_.SetActive("pcb", {"1", ""}).ok());
  for (const auto& [name, version] :
       {std::pair("pcb", "3"), {"brick", "1"}, {"pcb", ".."}, {"pcb", ""}, {"..", "1"}}) {
    EXPECT_EQ(store_.SetActive(name, {version, ""}).code(), absl::StatusCode::kNotFound)
        << name << "@" << version;
  }
  EXPECT_EQ(Only().active.value(), "1");
  // A directory cannot be replaced by a file, not even by root.
  fs::remove(root_ / "pcb/active");
  Make("pcb/active/inside");
  EXPECT_FALSE(store_.SetActive("pcb", {"1", ""}).ok());
  EXPECT_TRUE(fs::is_directory(root_ / "pcb/active/inside"));
}

TEST_F(ModelStoreTest, ThePointerCarriesHashes) {
  const std::string first = WriteFakeVersion(root_.path(), "pcb", "1").hash;
  const std::string second = WriteFakeVersion(root_.path(), "pcb", "2").hash;
  ASSERT_TRUE(store_.SetActive("pcb", {"1", first}).ok());
  ASSERT_TRUE(store_.SetActive("pcb", {"2", second}).ok());
  EXPECT_EQ(testing::ReadText(root_ / "pcb/active"),
            "format 2\nactive 2 " + second + "\nbefore 1 " + first + "\n");
  const auto replaced = store_.Replaced("pcb");
  ASSERT_TRUE(replaced.ok()) << replaced.status();
  EXPECT_EQ(replaced->version, (PointedVersion{"1", first}));
  EXPECT_EQ(replaced->active, (PointedVersion{"2", second}));
}

TEST_F(ModelStoreTest, AVersionWithAnotherHashThanThePointerIsNotActive) {
  const std::string first = WriteFakeVersion(root_.path(), "pcb", "1").hash;
  ASSERT_TRUE(store_.SetActive("pcb", {"1", first}).ok());
  EXPECT_EQ(Only().active.value(), "1");
  const std::string other = ReplaceFakeVersion(root_.path(), "pcb", "1").hash;
  for (const absl::Status& status : {Only().active.status(), store_.Pointer("pcb").status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(GetDetails(status).reason, "VERSION_REPLACED");
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(first), HasSubstr(other)));
  }
}

TEST_F(ModelStoreTest, TheVersionBeforeMustHaveItsHash) {
  const std::string first = WriteFakeVersion(root_.path(), "pcb", "1").hash;
  const std::string second = WriteFakeVersion(root_.path(), "pcb", "2").hash;
  ASSERT_TRUE(store_.SetActive("pcb", {"1", first}).ok());
  ASSERT_TRUE(store_.SetActive("pcb", {"2", second}).ok());
  ReplaceFakeVersion(root_.path(), "pcb", "1");
  EXPECT_EQ(store_.Replaced("pcb").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModelStoreTest, RemovingTheVersionBeforeClearsIt) {
  for (const char* path : {"pcb/1", "pcb/2", "pcb/3"}) Make(path);
  ASSERT_TRUE(store_.SetActive("pcb", {"3", ""}).ok());
  ASSERT_TRUE(store_.SetActive("pcb", {"2", ""}).ok());
  EXPECT_EQ(store_.Remove("pcb", "2").status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(store_.Remove("pcb", "1").ok());
  EXPECT_EQ(store_.Replaced("pcb")->version.version, "3");
  ASSERT_TRUE(store_.Remove("pcb", "3").ok());
  EXPECT_EQ(testing::ReadText(root_ / "pcb/active"), "format 2\nactive 2\n");
  EXPECT_EQ(model::NextVersion(root_ / "pcb"), "4");
}

TEST_F(ModelStoreTest, RecordServingChangesNoOtherPointer) {
  for (const char* path : {"pcb/1", "pcb/2"}) Make(path);
  ASSERT_TRUE(store_.RecordServing("pcb", {"1", ""}).ok());
  EXPECT_EQ(Only().active.value(), "1");
  ASSERT_TRUE(store_.RecordServing("pcb", {"2", ""}).ok());
  EXPECT_EQ(Only().active.value(), "1");
}

TEST_F(ModelStoreTest, APinnedModelDoesNotFollowNewerVersions) {
  Make("pcb/9");
  Make("pcb/10");
  ASSERT_TRUE(store_.Pin("pcb").ok());
  Make("pcb/11");
  EXPECT_EQ(Only().active.value(), "10");
  ASSERT_TRUE(store_.Pin("pcb").ok());
  EXPECT_EQ(Only().active.value(), "10");
  ASSERT_TRUE(store_.SetActive("pcb", {"11", ""}).ok());
  ASSERT_TRUE(store_.Pin("pcb").ok());
  EXPECT_EQ(Only().active.value(), "11") << "an existing pointer stays";
}

TEST_F(ModelStoreTest, APinnedNewModelHasNoActiveVersionUntilOneIsActivated) {
  ASSERT_TRUE(store_.Pin("pcb").ok());
  EXPECT_EQ(Only().active.status().code(), absl::StatusCode::kNotFound);
  Make("pcb/1");
  EXPECT_EQ(Only().active.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Only().versions, ElementsAre("1"));
  ASSERT_TRUE(store_.SetActive("pcb", {"1", ""}).ok());
  EXPECT_EQ(Only().active.value(), "1");
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "pcb"), fs::directory_iterator()), 2)
      << "nothing but the version and the pointer";
}

TEST_F(ModelStoreTest, PinRefusesInvalidNamesAndLinksOutOfTheStore) {
  TempDirectory outside;
  fs::create_directory_symlink(outside.path(), root_ / "stolen");
  EXPECT_EQ(store_.Pin("stolen").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(fs::is_empty(outside.path()));
  for (const char* name : {"", "..", "a/b", "UPPER"}) {
    EXPECT_EQ(store_.Pin(name).code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST_F(ModelStoreTest, IgnoresLinksThatLeadOutOfTheStore) {
  TempDirectory outside;
  fs::create_directories(outside / "1");
  WriteText(outside / "active", "1");
  Make("pcb/1");
  Make("pcb/2");
  fs::create_directory_symlink(outside.path(), root_ / "stolen");
  fs::create_directory_symlink(outside / "1", root_ / "pcb/5");
  fs::create_directory_symlink(root_ / "pcb/1", root_ / "pcb/4");
  EXPECT_THAT(Only().versions, ElementsAre("4", "2", "1")) << "links within the store are followed";

  const auto directory = store_.Directory("pcb", "5");
  EXPECT_EQ(directory.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(store_.Directory("stolen", "1").status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(store_.Directory("pcb", "4").ok());

  fs::create_symlink(outside / "active", root_ / "pcb/active");
  EXPECT_EQ(Only().active.status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(ModelStoreTest, FindsDirectoriesOfVersionsOnly) {
  Make("pcb/1");
  EXPECT_EQ(store_.Directory("pcb", "1").value(), root_ / "pcb/1");
  for (const auto& [name, version] : {std::pair("pcb", "2"),
                                      {"brick", "1"},
                                      {"..", "pcb"},
                                      {"pcb", ".."},
                                      {"pcb", ""},
                                      {"", ""},
                                      {"pcb", "../pcb/1"}}) {
    EXPECT_EQ(store_.Directory(name, version).status().code(), absl::StatusCode::kNotFound)
        << name << "@" << version;
  }
}

TEST_F(ModelStoreTest, AnEmptyStoreHasNoModelsAndAMissingOneIsAnError) {
  EXPECT_THAT(store_.List().value(), IsEmpty());
  const auto models = ModelStore(root_ / "missing").List();
  EXPECT_EQ(models.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(models.status().message()), HasSubstr((root_ / "missing").string()));
}

}  // namespace
}  // namespace proad::server
