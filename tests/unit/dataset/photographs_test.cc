#include "model/dataset/photographs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/files/error.h"
#include "tests/support/dataset_files.h"

namespace proad::model {
namespace {

using proad::testing::SmallBmp;
using proad::testing::TempDirectory;
using proad::testing::WriteFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PhotographsTest : public ::testing::Test {
 protected:
  void Put(const std::string& name, uint8_t shade) {
    WriteFile(directory_.path(), name, SmallBmp(shade, 20, 20));
  }
  Photographs Open() const { return Photographs({directory_.path()}); }

  TempDirectory directory_;
};

TEST_F(PhotographsTest, FindsFilesInSubfoldersInOrderOfNames) {
  Put("b/c/deep.bmp", 30);
  Put("a.bmp", 10);
  Put("b/b.BMP", 20);
  WriteFile(directory_.path(), "notes.txt", "no picture");
  const Photographs photographs = Open();
  ASSERT_EQ(photographs.size(), 3);
  EXPECT_EQ(photographs.Read(0).pixels[0], 10);
  EXPECT_EQ(photographs.Read(1).pixels[0], 20);
  EXPECT_EQ(photographs.Read(2).pixels[0], 30);
  EXPECT_TRUE(photographs.skipped().empty());
}

TEST_F(PhotographsTest, SkipsAndNamesUnreadableFiles) {
  Put("good.bmp", 1);
  WriteFile(directory_.path(), "empty.png", "");
  WriteFile(directory_.path(), "text.jpg", "no picture");
  WriteFile(directory_.path(), "tiny.bmp", SmallBmp(0, 4, 40));
  const Photographs photographs = Open();
  EXPECT_EQ(photographs.size(), 1);
  EXPECT_THAT(photographs.skipped(),
              ElementsAre(HasSubstr("empty.png"), HasSubstr("text.jpg"), HasSubstr("tiny.bmp")));
}

TEST_F(PhotographsTest, TheFingerprintCoversNamesAndContents) {
  Put("one.bmp", 1);
  Put("two.bmp", 2);
  const std::string before = Open().fingerprint();
  EXPECT_EQ(Open().fingerprint(), before);
  Put("two.bmp", 3);
  const std::string changed = Open().fingerprint();
  EXPECT_NE(changed, before);
  std::filesystem::rename(directory_ / "two.bmp", directory_ / "three.bmp");
  EXPECT_NE(Open().fingerprint(), changed);
}

TEST_F(PhotographsTest, RefusesFoldersWithoutPhotographs) {
  for (const auto& folders :
       {std::vector<std::filesystem::path>{}, {directory_.path()}, {directory_ / "missing"}}) {
    try {
      Photographs photographs(folders);
      ADD_FAILURE() << "no error";
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.field(), "photographs");
    }
  }
}

}  // namespace
}  // namespace proad::model
