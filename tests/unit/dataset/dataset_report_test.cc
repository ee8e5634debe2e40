#include "model/dataset/dataset_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/dataset_files.h"
#include "tests/support/paths.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::ReadText;
using ::proad::testing::SmallBmp;
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

// A BMP file whose pixels are `shades`, row by row from the top.
std::string GreyBmp(const std::vector<std::string>& rows) {
  const auto width = static_cast<int>(rows[0].size());
  const auto height = static_cast<int>(rows.size());
  std::string file = SmallBmp(0, width, height);
  const int stride = (width * 3 + 3) / 4 * 4;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const char shade = rows[height - 1 - y][x] == '#' ? '\xff' : '\0';
      for (int c = 0; c < 3; ++c) file[54 + y * stride + 3 * x + c] = shade;
    }
  }
  return file;
}

struct MaskOfDataset {
  const char* name;
  std::string file;
  std::vector<MaskIssue> issues;
};

// The masks of defective images, and what is told about them.
TEST(CheckDataset, TellsMasksThatProbablyDoNotMarkTheDefect) {
  const std::vector<MaskOfDataset> table = {
      {"a hole", GreyBmp({"......", "..##..", "..##..", "......"}), {}},
      {"half of the image", GreyBmp({"......", "######", "######", "......"}), {}},
      {"at the border", GreyBmp({"######", "#.....", "......", "......"}), {}},
      {"empty", GreyBmp({"......", "......", "......", "......"}), {MaskIssue::kEmpty}},
      {"full", GreyBmp({"######", "######", "######", "######"}), {MaskIssue::kNearlyFull}},
      {"all but a corner",
       GreyBmp({"#####.", "######", "######", "######"}),
       {MaskIssue::kNearlyFull}},
      {"white background",
       GreyBmp({"######", "##..##", "##..##", "######"}),
       {MaskIssue::kWhiteBackground}},
  };
  for (const MaskOfDataset& row : table) {
    const TempDirectory root;
    WriteFile(root.path(), "bolt/test/cut/a.bmp", SmallBmp(1, 6, 4));
    WriteFile(root.path(), "bolt/ground_truth/cut/a_mask.bmp", row.file);
    const DatasetReport report = CheckDataset(OpenDataset(root.path()));
    EXPECT_THAT(report.bad_masks, IsEmpty()) << row.name;
    std::vector<MaskIssue> issues;
    for (const MaskFinding& finding : report.mask_findings) {
      EXPECT_EQ(finding.name, "bolt/ground_truth/cut/a_mask.bmp");
      issues.push_back(finding.issue);
    }
    EXPECT_EQ(issues, row.issues) << row.name;
  }
}

TEST(CheckDataset, TellsAMaskThatMarksAGoodImage) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/test/good/a.bmp", SmallBmp(1, 6, 4));
  Dataset dataset = OpenDataset(root.path());
  WriteFile(root.path(), "bolt/a_mask.bmp", GreyBmp({"......", ".##...", "......", "......"}));
  dataset.samples[0].mask = dataset.root / "bolt/a_mask.bmp";
  const DatasetReport report = CheckDataset(dataset);
  ASSERT_EQ(report.mask_findings.size(), 1u);
  EXPECT_EQ(report.mask_findings[0].issue, MaskIssue::kMarksGoodImage);
  EXPECT_THAT(report.mask_findings[0].problem, HasSubstr("2 of 24 pixels"));
}

// A PNG file whose last chunk but one, the pixels, has a wrong checksum.
std::string DamagedPng() {
  std::string png = ReadText(kSource / "deploy/sample/brick/train/good/000.png");
  png[png.size() / 2] = static_cast<char>(~png[png.size() / 2]);
  return png;
}

TEST(CheckDataset, DecodesImagesAndMasksUnlessAskedNotTo) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/train/good/a.bmp", SmallBmp(1));
  WriteFile(root.path(), "bolt/test/cut/b.png", DamagedPng());
  WriteFile(root.path(), "bolt/test/cut/c.bmp", SmallBmp(2));
  WriteFile(root.path(), "bolt/ground_truth/cut/b.bmp", SmallBmp(0));
  WriteFile(root.path(), "bolt/ground_truth/cut/c.png", DamagedPng());
  const Dataset dataset = OpenDataset(root.path());
  int64_t told = 0;
  const DatasetReport report = CheckDataset(
      dataset, {}, {.threads = 2, .progress = [&told](int64_t, int64_t all) { told = all; }});
  ASSERT_EQ(report.unreadable.size(), 1u);
  EXPECT_EQ(report.unreadable[0].name, "bolt/test/cut/b.png");
  ASSERT_EQ(report.bad_masks.size(), 1u);
  EXPECT_EQ(report.bad_masks[0].name, "bolt/ground_truth/cut/c.png");
  EXPECT_THAT(told, ::testing::AnyOf(0, 3));  // a fast check ends before the first report
  EXPECT_THAT(CheckDataset(dataset, {}, {.decode = false}).unreadable, IsEmpty());
}

TEST(CheckDataset, TheTrainFingerprintDoesNotCoverTestImages) {
  const TempDirectory root;
  WriteFile(root.path(), "bolt/train/good/a.bmp", SmallBmp(1));
  WriteFile(root.path(), "bolt/test/cut/b.bmp", SmallBmp(2));
  const DatasetReport before = CheckDataset(OpenDataset(root.path()));
  WriteFile(root.path(), "bolt/test/cut/b.bmp", SmallBmp(3));
  const DatasetReport other_test = CheckDataset(OpenDataset(root.path()));
  EXPECT_NE(other_test.fingerprint, before.fingerprint);
  EXPECT_EQ(other_test.train_fingerprint, before.train_fingerprint);
  WriteFile(root.path(), "bolt/train/good/a.bmp", SmallBmp(4));
  EXPECT_NE(CheckDataset(OpenDataset(root.path())).train_fingerprint, before.train_fingerprint);
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
