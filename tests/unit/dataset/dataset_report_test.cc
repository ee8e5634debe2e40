#include "model/dataset/dataset_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/dataset_files.h"
#include "tests/support/paths.h"
#include "tests/support/tagged_tiff.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::SmallBmp;
using ::proad::testing::TaggedTiff;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteFile;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const fs::path kSource = proad::testing::SourceFolder();

TEST(CheckDataset, CountsImagesAndTheirSizes) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/train/good/a.bmp", SmallBmp(1, 8, 6));
  WriteFile(root.path(), "bolt/train/good/b.bmp", SmallBmp(2, 4, 9));
  WriteFile(root.path(), "bolt/test/good/c.bmp", SmallBmp(3, 8, 6));
  WriteFile(root.path(), "bolt/test/cut/d.bmp", SmallBmp(4, 8, 6));
  WriteFile(root.path(), "bolt/ground_truth/cut/d_mask.bmp", SmallBmp(255, 8, 6));
  WriteFile(root.path(), "nut/train/good/a.bmp", SmallBmp(5, 7, 7));
  const DatasetReport report = CheckDataset(OpenDataset(root.path()));
  ASSERT_EQ(report.categories.size(), 2u);
  const CategoryReport& bolt = report.categories.at("bolt");
  EXPECT_EQ(bolt.train, (SplitReport{.good = 2, .defective = 0, .masks = 0}));
  EXPECT_EQ(bolt.test, (SplitReport{.good = 1, .defective = 1, .masks = 1}));
  EXPECT_EQ(bolt.min_width, 4);
  EXPECT_EQ(bolt.max_width, 8);
  EXPECT_EQ(bolt.min_height, 6);
  EXPECT_EQ(bolt.max_height, 9);
  EXPECT_TRUE(bolt.mixed_sizes());
  EXPECT_FALSE(report.categories.at("nut").mixed_sizes());
  EXPECT_THAT(report.unreadable, IsEmpty());
  EXPECT_THAT(report.bad_masks, IsEmpty());
  EXPECT_THAT(report.duplicates, IsEmpty());
}

TEST(CheckDataset, NamesUnreadableImages) {
  const TempDirectory root;
  const std::string whole = SmallBmp(1, 8, 8);
  WriteFile(root.path(), "a.bmp", whole);
  WriteFile(root.path(), "b.bmp", "");
  WriteFile(root.path(), "c.bmp", whole.substr(0, 100));
  WriteFile(root.path(), "d.bmp", "not a picture");
  WriteFile(root.path(), "e.bmp", SmallBmp(1, 2, 60));
  WriteFile(root.path(), "f.bmp", SmallBmp(1, 30, 30));
  WriteFile(root.path(), "g.bmp", SmallBmp(2));
  const Dataset dataset = OpenDataset(root.path());
  fs::remove(root / "g.bmp");
  const DatasetReport report = CheckDataset(
      dataset, {.max_bytes = static_cast<int64_t>(SmallBmp(1, 2, 60).size()), .max_side = 50});
  ASSERT_EQ(report.unreadable.size(), 6u);
  const std::vector<std::pair<std::string, std::string>> expected = {{"b.bmp", "empty"},
                                                                     {"c.bmp", "trunc"},
                                                                     {"d.bmp", ""},
                                                                     {"e.bmp", "2 x 60"},
                                                                     {"f.bmp", "--max-image-bytes"},
                                                                     {"g.bmp", "No such file"}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(report.unreadable[i].name, expected[i].first);
    EXPECT_THAT(report.unreadable[i].problem, HasSubstr(expected[i].second));
  }
}

TEST(CheckDataset, FindsImagesInBothSplits) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/train/good/a.bmp", SmallBmp(1));
  WriteFile(root.path(), "bolt/train/good/copy.bmp", SmallBmp(1));
  WriteFile(root.path(), "bolt/test/good/b.bmp", SmallBmp(1));
  WriteFile(root.path(), "bolt/test/good/c.bmp", SmallBmp(2));
  WriteFile(root.path(), "bolt/test/good/d.bmp", SmallBmp(2));
  // The test images of this category come before the training images of the next one.
  WriteFile(root.path(), "a/test/cut/e.bmp", SmallBmp(1));
  const DatasetReport report = CheckDataset(OpenDataset(root.path()));
  std::vector<std::string> found;
  for (const SplitDuplicate& duplicate : report.duplicates)
    found.push_back(duplicate.train + " " + duplicate.test);
  EXPECT_THAT(found, ::testing::ElementsAre("bolt/train/good/a.bmp a/test/cut/e.bmp",
                                            "bolt/train/good/a.bmp bolt/test/good/b.bmp"));
}

// A mask is drawn on the view in which its image is read.
TEST(CheckDataset, MasksFitTheViewOfTheirImage) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/test/cut/a.tif", TaggedTiff(1, 6, 4, 6));
  WriteFile(root.path(), "bolt/test/cut/b.tif", TaggedTiff(2, 6, 4, 1));
  WriteFile(root.path(), "bolt/ground_truth/cut/a.bmp", SmallBmp(1, 4, 6));
  WriteFile(root.path(), "bolt/ground_truth/cut/b.bmp", SmallBmp(1, 6, 4));
  const Dataset dataset = OpenDataset(root.path());
  const DatasetReport stored = CheckDataset(dataset);
  ASSERT_EQ(stored.bad_masks.size(), 1u);
  EXPECT_EQ(stored.bad_masks[0].name, "bolt/ground_truth/cut/a.bmp");
  EXPECT_THAT(stored.turned, ::testing::ElementsAre("bolt/test/cut/a.tif"));
  const DatasetReport upright =
      CheckDataset(dataset, {}, {.reading = {.orientation = Orientation::kApply}});
  EXPECT_THAT(upright.bad_masks, IsEmpty());
  EXPECT_EQ(upright.turned, stored.turned);
  EXPECT_TRUE(upright.categories.at("bolt").mixed_sizes());
  EXPECT_NE(upright.fingerprint, stored.fingerprint) << "a job is not continued in another view";
  EXPECT_EQ(CheckDataset(dataset, {}, {.reading = kUnrecordedReading}).fingerprint,
            stored.fingerprint);
}

TEST(CheckDataset, FindsMasksThatDoNotFit) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/test/cut/a.bmp", SmallBmp(1, 4, 4));
  WriteFile(root.path(), "bolt/test/cut/b.bmp", SmallBmp(2, 4, 4));
  WriteFile(root.path(), "bolt/ground_truth/cut/a.bmp", SmallBmp(1, 4, 5));
  WriteFile(root.path(), "bolt/ground_truth/cut/b.bmp", "");
  const DatasetReport report = CheckDataset(OpenDataset(root.path()));
  ASSERT_EQ(report.bad_masks.size(), 2u);
  EXPECT_EQ(report.bad_masks[0].name, "bolt/ground_truth/cut/a.bmp");
  EXPECT_THAT(report.bad_masks[0].problem, HasSubstr("4x5, its image 4x4"));
  EXPECT_EQ(report.bad_masks[1].name, "bolt/ground_truth/cut/b.bmp");
  EXPECT_THAT(report.bad_masks[1].problem, HasSubstr("empty"));
}

TEST(CheckDataset, TheFingerprintCoversNamesAndContents) {
  const TempDirectory root;
  WriteFile(root / "one", "parts/train/a.bmp", SmallBmp(1));
  WriteFile(root / "same elsewhere", "parts/train/a.bmp", SmallBmp(1));
  WriteFile(root / "other content", "parts/train/a.bmp", SmallBmp(2));
  WriteFile(root / "other name", "parts/train/b.bmp", SmallBmp(1));
  const auto fingerprint = [&](const char* name) {
    return CheckDataset(OpenDataset(root / name / "parts")).fingerprint;
  };
  EXPECT_EQ(fingerprint("one").size(), 64u);
  EXPECT_EQ(fingerprint("same elsewhere"), fingerprint("one"));
  EXPECT_NE(fingerprint("other content"), fingerprint("one"));
  EXPECT_NE(fingerprint("other name"), fingerprint("one"));
}

// Gates use pixel figures, so other masks are other data.
TEST(CheckDataset, TheFingerprintCoversMasks) {
  const TempDirectory root;
  const auto write = [&](const std::string& name, int mask_seed) {
    WriteFile(root / name, "parts/train/good/a.bmp", SmallBmp(1));
    WriteFile(root / name, "parts/test/cut/b.bmp", SmallBmp(2));
    if (mask_seed > 0) WriteFile(root / name, "parts/ground_truth/cut/b.bmp", SmallBmp(mask_seed));
    return CheckDataset(OpenDataset(root / name / "parts")).fingerprint;
  };
  const std::string masked = write("masked", 3);
  EXPECT_EQ(write("the same", 3), masked);
  EXPECT_NE(write("other mask", 4), masked);
  EXPECT_NE(write("no mask", 0), masked);
}

void ExpectFactory(const DatasetReport& report, const std::string& category,
                   const SplitReport& train, const SplitReport& test) {
  ASSERT_EQ(report.categories.count(category), 1u) << category;
  EXPECT_EQ(report.categories.at(category).train, train) << category;
  EXPECT_EQ(report.categories.at(category).test, test) << category;
}

TEST(CheckDataset, CountsFactory4) {
  const fs::path factory = kSource / "../shared/datasets/factory4";
  if (!fs::exists(factory)) GTEST_SKIP() << "no ../shared/datasets/factory4 beside the project";
  const Dataset dataset = OpenDataset(factory);
  EXPECT_EQ(dataset.format, DatasetFormat::kMvtec);
  const DatasetReport report = CheckDataset(dataset);
  ExpectFactory(report, "alien", {.good = 40}, {.good = 18, .defective = 60});
  ExpectFactory(report, "pcb", {.good = 80}, {.good = 30, .defective = 50, .masks = 50});
  ExpectFactory(report, "brick", {.good = 60}, {.good = 30, .defective = 45, .masks = 45});
  ExpectFactory(report, "gravel", {.good = 60}, {.good = 30, .defective = 45, .masks = 45});
  EXPECT_EQ(report.categories.at("alien").max_width, 550);
  EXPECT_EQ(report.categories.at("alien").max_height, 380);
  EXPECT_THAT(report.unreadable, IsEmpty());
  EXPECT_THAT(report.bad_masks, IsEmpty());
  EXPECT_NO_THROW(CheckTrainable(dataset));
  EXPECT_NO_THROW(CheckEvaluable(dataset));
}

TEST(CheckDataset, TheSampleIsTrainableAndEvaluable) {
  const Dataset dataset = OpenDataset(kSource / "deploy/sample");
  const DatasetReport report = CheckDataset(dataset);
  ExpectFactory(report, "alien", {.good = 8}, {.good = 4, .defective = 4});
  ExpectFactory(report, "pcb", {.good = 12}, {.good = 5, .defective = 5, .masks = 5});
  EXPECT_THAT(report.unreadable, IsEmpty());
  EXPECT_THAT(report.duplicates, IsEmpty());
  EXPECT_NO_THROW(CheckTrainable(dataset));
  EXPECT_NO_THROW(CheckEvaluable(dataset));
}

}  // namespace
}  // namespace proad::model
