// Symbolic links that are added between the check of a path and its use.
#include "model/files/open_nofollow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/files/error.h"
#include "model/picture/image_file.h"
#include "model/spec/train_data.h"
#include "tests/support/dataset_files.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::SmallBmp;
using testing::TempDirectory;
using testing::WriteFile;
using testing::WriteText;

class OpenNoFollowTest : public ::testing::Test {
 protected:
  OpenNoFollowTest() {
    WriteFile(root_ / "data", "pcb/train/good/0.bmp", SmallBmp(1));
    WriteFile(root_ / "data", "pcb/train/good/1.bmp", SmallBmp(2));
    WriteFile(root_ / "outside", "pcb/train/good/0.bmp", SmallBmp(3));
    WriteFile(root_ / "outside", "pcb/train/good/1.bmp", SmallBmp(4));
  }

  // Replaces an entry inside the root by a link to a path outside.
  void Swap(const std::string& name) const {
    fs::rename(root_ / "data" / name, root_ / "moved");
    fs::create_symlink(root_ / "outside" / name, root_ / "data" / name);
  }

  const TempDirectory temporary_;
  const fs::path root_ = fs::canonical(temporary_.path());
};

TEST_F(OpenNoFollowTest, ReadsAnUnchangedFile) {
  const Dataset dataset = OpenDataset(root_ / "data/pcb");
  ASSERT_EQ(dataset.samples.size(), 2u);
  const std::vector<uint8_t> bytes = ReadImageFile(dataset.samples[0].path, {});
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), SmallBmp(1));
}

TEST_F(OpenNoFollowTest, DoesNotFollowALinkAddedAfterTheCheck) {
  for (const char* name : {"pcb/train/good/0.bmp", "pcb/train/good", "pcb/train", "pcb"}) {
    const Dataset dataset = OpenDataset(root_ / "data/pcb");
    Swap(name);
    EXPECT_THROW(ReadImageFile(dataset.samples[0].path, {}), FileError) << name;
    fs::remove(root_ / "data" / name);
    fs::rename(root_ / "moved", root_ / "data" / name);
    EXPECT_NO_THROW(ReadImageFile(dataset.samples[0].path, {})) << name;
  }
}

TEST_F(OpenNoFollowTest, ReadsTheTargetOfALinkInsideTheDataset) {
  fs::create_symlink("0.bmp", root_ / "data/pcb/train/good/2.bmp");
  const Dataset dataset = OpenDataset(root_ / "data/pcb");
  ASSERT_EQ(dataset.samples.size(), 3u);
  EXPECT_EQ(dataset.samples[2].name, "train/good/2.bmp");
  fs::remove(root_ / "data/pcb/train/good/2.bmp");
  fs::create_symlink(root_ / "outside/pcb/train/good/0.bmp", root_ / "data/pcb/train/good/2.bmp");
  const std::vector<uint8_t> bytes = ReadImageFile(dataset.samples[2].path, {});
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), SmallBmp(1));
}

TEST_F(OpenNoFollowTest, OpenTrainDataRefusesADatasetBehindALink) {
  const TrainSpec spec{.model_name = "pcb", .dataset = root_ / "data/pcb"};
  EXPECT_EQ(OpenTrainData(spec, {}).dataset.root, root_ / "data/pcb");
  for (const char* name : {"pcb", ""}) {
    const fs::path place = name[0] == '\0' ? root_ / "data" : root_ / "data" / name;
    fs::rename(place, root_ / "moved");
    fs::create_symlink(root_ / "outside" / name, place);
    try {
      OpenTrainData(spec, {});
      FAIL() << "a link added at " << place << " was followed";
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "DATASET_MOVED");
      EXPECT_THAT(error.what(), HasSubstr((root_ / "data/pcb").string()));
    }
    fs::remove(place);
    fs::rename(root_ / "moved", place);
  }
}

TEST_F(OpenNoFollowTest, OpensRegularFilesOnly) {
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  EXPECT_THROW(OpenNoFollow(root_ / "pipe"), FileError) << "and does not wait for a writer";
  EXPECT_THROW(OpenNoFollow(root_ / "data"), FileError);
  EXPECT_THROW(OpenNoFollow(root_ / "none"), FileError);
  EXPECT_THROW(OpenNoFollow("data/pcb/train/good/0.bmp"), FileError) << "relative";
  EXPECT_THROW(OpenNoFollow(root_ / "data/../outside/pcb/train/good/0.bmp"), FileError);
  EXPECT_THROW(OpenNoFollow("/"), FileError);
}

TEST_F(OpenNoFollowTest, PathsOfTheUserMayContainLinks) {
  fs::create_directory_symlink(root_ / "outside", root_ / "link");
  EXPECT_NO_THROW(ReadImageFile(root_ / "link/pcb/train/good/0.bmp", {}, Links::kFollow));
  EXPECT_THROW(ReadImageFile(root_ / "link/pcb/train/good/0.bmp", {}), FileError);
}

}  // namespace
}  // namespace proad::model
