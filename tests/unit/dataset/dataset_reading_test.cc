// The table of model/dataset/README.md: words for good and defective parts, names of splits and
// masks, and what is skipped. One row is one variant of a dataset.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/label_reading.h"
#include "model/files/error.h"
#include "tests/support/dataset_files.h"
#include "tests/support/small_datasets.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::Open;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteFile;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Each reading as "CATEGORY LABEL SPLIT good|DEFECT IMAGES+MASKS".
std::vector<std::string> Readings(const Dataset& dataset) {
  std::vector<std::string> lines;
  for (const LabelReading& reading : LabelReadings(dataset)) {
    lines.push_back(reading.category + " [" + reading.label + "] " + NameOf(reading.split) + " " +
                    (reading.defect.empty() ? "good" : reading.defect) + " " +
                    std::to_string(reading.images) +
                    (reading.masks > 0 ? "+" + std::to_string(reading.masks) : ""));
  }
  return lines;
}

struct Variant {
  const char* name;
  std::vector<std::string> files;  // in the folder "part"
  std::vector<std::string> read;   // empty if the dataset is refused
  const char* reason = "";
  std::vector<std::string> words = {};
};

void PrintTo(const Variant& variant, std::ostream* out) { *out << variant.name; }

class ReadingTest : public ::testing::TestWithParam<Variant> {};

TEST_P(ReadingTest, IsReadOrRefused) {
  const Variant& variant = GetParam();
  const TempDirectory root;
  for (const std::string& file : variant.files) WriteFile(root / "part", file);
  try {
    const Dataset dataset = Open(root / "part");
    EXPECT_EQ(Readings(dataset), variant.read);
    EXPECT_STREQ(variant.reason, "") << "was read";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), variant.reason) << error.what();
    for (const std::string& word : variant.words) EXPECT_THAT(error.what(), HasSubstr(word));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Labels, ReadingTest,
    ::testing::Values(
        Variant{"ok and a kind of defect",
                {"train/good/a.png", "test/ok/b.png", "test/hole/c.png"},
                {"part [train/good] train good 1", "part [test/hole] test hole 1",
                 "part [test/ok] test good 1"}},
        Variant{"ok beside good",
                {"train/good/a.png", "test/ok/b.png", "test/good/d.png", "test/hole/c.png"},
                {"part [train/good] train good 1", "part [test/good] test good 1",
                 "part [test/hole] test hole 1", "part [test/ok] test good 1"}},
        Variant{"ok and ko, with masks",
                {"train/ok/a.bmp", "test/ok/b.bmp", "test/ko/c.bmp", "ground_truth/ko/c.png"},
                {"part [train/ok] train good 1", "part [test/ko] test ko 1+1",
                 "part [test/ok] test good 1"}},
        Variant{"two good folders to train on",
                {"train/good/a.png", "train/OK/b.png"},
                {"part [train/OK] train good 1", "part [train/good] train good 1"}},
        Variant{"case and blanks",
                {"Train/Good /a.png", "TEST/ OK/b.png", "TEST/NG/c.png"},
                {"part [Train/Good ] train good 1", "part [TEST/ OK] test good 1",
                 "part [TEST/NG] test NG 1"}},
        Variant{"other words for the splits",
                {"training/i.O./a.png", "testing/i.O./b.png", "testing/n.i.O./c.png"},
                {"part [training/i.O.] train good 1", "part [testing/i.O.] test good 1",
                 "part [testing/n.i.O.] test n.i.O. 1"}},
        Variant{"Chinese",
                {"train/良品/a.png", "test/良品/b.png", "test/不良/c.png"},
                {"part [train/良品] train good 1", "part [test/不良] test 不良 1",
                 "part [test/良品] test good 1"}},
        Variant{"kinds of defects with numbers",
                {"train/good/a.png", "test/good/b.png", "test/1/c.png", "test/2/d.png"},
                {"part [train/good] train good 1", "part [test/1] test 1 1",
                 "part [test/2] test 2 1", "part [test/good] test good 1"}},
        Variant{"positive and negative",
                {"train/good/a.png", "test/Negative/b.png", "test/Positive/c.png"},
                {},
                "LABEL_AMBIGUOUS",
                {"test/Negative", "positive test", "positive example", "\"good\""}},
        Variant{"classes by number",
                {"train/good/a.png", "test/0/b.png", "test/1/c.png"},
                {},
                "LABEL_AMBIGUOUS",
                {"test/0", "0 is good", "the reverse"}},
        Variant{"classes by number beside good",
                {"train/good/a.png", "test/good/b.png", "test/0/b.png", "test/1/c.png"},
                {},
                "LABEL_AMBIGUOUS",
                {"test/0"}},
        Variant{"class to train on", {"train/0/a.png"}, {}, "LABEL_AMBIGUOUS", {"train/0"}},
        Variant{"good beside another word",
                {"train/good/a.png", "test/ok_front/b.png", "test/def_front/c.png"},
                {},
                "LABEL_AMBIGUOUS",
                {"test/ok_front", "good parts", "kind of defect"}},
        Variant{"defective to train on",
                {"train/ok/a.png", "train/NG/b.png"},
                {},
                "TRAIN_NOT_GOOD",
                {"train/NG", "test/NG"}},
        Variant{"images to test on",
                {"train/good/a.png", "test/images/b.png"},
                {},
                "DATASET_LAYOUT",
                {"test/images", "test/DEFECT"}},
        Variant{"masks to test on",
                {"train/good/a.png", "test/cut/b.png", "test/masks/b.png"},
                {},
                "DATASET_LAYOUT",
                {"test/masks"}},
        Variant{"the same split twice",
                {"train/good/a.png", "Train/good/b.png"},
                {},
                "DATASET_LAYOUT",
                {"Train", "keep one"}}));

INSTANTIATE_TEST_SUITE_P(
    Products, ReadingTest,
    ::testing::Values(
        Variant{"names",
                {"bolt/a.png", "nut/b.png"},
                {"bolt [bolt] train good 1", "nut [nut] train good 1"}},
        Variant{"numbers",
                {"1/a.png", "2/b.png", "3/c.png"},
                {"1 [1] train good 1", "2 [2] train good 1", "3 [3] train good 1"}},
        Variant{"a word for good inside a name",
                {"io_module/a.png", "cpu_module/b.png"},
                {"cpu_module [cpu_module] train good 1", "io_module [io_module] train good 1"}},
        Variant{"Negative and Positive",
                {"Negative/a.png", "Positive/b.png"},
                {},
                "DATASET_LAYOUT",
                {"\"Negative\"", "ambiguous", "positive test", "train/good"}},
        Variant{"Good and Bad", {"Good/a.png", "Bad/b.png"}, {}, "DATASET_LAYOUT", {"\"Bad\""}},
        Variant{"OK and NG", {"OK/a.png", "NG/b.png"}, {}, "DATASET_LAYOUT", {"\"NG\""}},
        Variant{"0 and 1", {"0/a.png", "1/b.png"}, {}, "DATASET_LAYOUT", {"\"0\"", "0 is good"}},
        Variant{"io and nio", {"iO/a.png", "niO/b.png"}, {}, "DATASET_LAYOUT", {"\"iO\""}},
        Variant{"ok_front and def_front",
                {"ok_front/a.png", "def_front/b.png"},
                {},
                "DATASET_LAYOUT",
                {"def_front"}},
        Variant{"images and masks",
                {"images/a.png", "masks/a.png"},
                {},
                "DATASET_LAYOUT",
                {"\"masks\"", "ground_truth/DEFECT"}}));

INSTANTIATE_TEST_SUITE_P(
    Masks, ReadingTest,
    ::testing::Values(
        Variant{"beside defective images",
                {"train/good/a.png", "test/cut/1.png", "test/cut/1_mask.png", "test/cut/2.jpg",
                 "test/cut/2_GT.bmp", "test/cut/3.png", "test/cut/3.mask.png", "test/cut/4.png",
                 "test/cut/4-label.png", "test/cut/5.png", "test/cut/mask_5.png",
                 "test/cut/6_image.png", "test/cut/6_mask.png", "test/cut/7.png",
                 "test/cut/7_ground_truth.png"},
                {"part [train/good] train good 1", "part [test/cut] test cut 7+7"}},
        Variant{"in ground_truth, with other endings of the stem",
                {"test/cut/1.png", "test/cut/2.png", "test/cut/3.png", "test/cut/4.png",
                 "ground_truth/cut/1_gt.png", "ground_truth/cut/2.png",
                 "ground_truth/cut/3-mask.bmp", "ground_truth/cut/4.png_mask.png"},
                {"part [test/cut] test cut 4+4"}},
        Variant{"in a folder of another case and name",
                {"test/Cut/1.png", "masks/cut/1.png"},
                {"part [test/Cut] test Cut 1+1"}},
        Variant{"names that end like masks",
                {"train/good/bottle_label.png", "train/good/face_mask_01.png",
                 "train/good/gt500_1.png"},
                {"part [train/good] train good 3"}},
        Variant{"beside good images of the folder",
                {"000.png", "000_mask.png"},
                {},
                "MASK_OF_GOOD",
                {"\"000.png\"", "\"000_mask.png\"", "test/DEFECT"}},
        Variant{"beside good images to train on",
                {"train/good/000.png", "train/good/000.mask.png"},
                {},
                "MASK_OF_GOOD",
                {"train/good/000.png", "000.mask.png"}},
        Variant{"beside good images to test on",
                {"train/good/0.png", "test/ok/1.png", "test/ok/1_label.png"},
                {},
                "MASK_OF_GOOD",
                {"test/ok/1.png"}},
        Variant{"of good images",
                {"test/ok/a.png", "ground_truth/ok/a.png"},
                {},
                "MASK_OF_GOOD",
                {"ground_truth/ok"}},
        Variant{"without images, to train on",
                {"train/good/000.png", "train/good/111_mask.png"},
                {},
                "MASK_WITHOUT_PICTURE",
                {"train/good/111_mask.png", "rename"}},
        Variant{"of some images only",
                {"test/cut/1.png", "test/cut/1_mask.png", "test/cut/2.png"},
                {},
                "MASK_MISSING",
                {"2.png"}},
        Variant{"two beside one image",
                {"test/cut/1.png", "test/cut/1_mask.png", "test/cut/1_gt.png"},
                {},
                "MASK_AMBIGUOUS",
                {"1_gt.png", "1_mask.png"}},
        Variant{"several parts of one mask",
                {"test/cut/1.png", "test/cut/1_mask_0.png", "test/cut/1_mask_1.png"},
                {},
                "MASK_AMBIGUOUS",
                {"1_mask_0.png", "1_mask_1.png"}},
        Variant{"two places",
                {"test/cut/1.png", "test/cut/1_mask.png", "ground_truth/cut/1.png"},
                {},
                "MASK_AMBIGUOUS",
                {"test/cut", "ground_truth/cut", "keep those of one folder"}},
        Variant{"shared beside two images of one stem",
                {"test/cut/a.jpg", "test/cut/a.png", "test/cut/a_mask.png"},
                {},
                "MASK_AMBIGUOUS",
                {"a.jpg", "a.png", "share the mask"}},
        Variant{"shared in ground_truth",
                {"test/cut/a.jpg", "test/cut/a.png", "ground_truth/cut/a.png"},
                {},
                "MASK_AMBIGUOUS",
                {"a.jpg", "a.png", "ground_truth/cut/a.png"}}));

INSTANTIATE_TEST_SUITE_P(
    Skipped, ReadingTest,
    ::testing::Values(Variant{"thumbnails and output",
                              {"train/good/a.png", "train/good/@eaDir/a.png",
                               "train/good/.thumbnails/a.png", "__MACOSX/train/good/a.png",
                               "train/good/a.overlay.png", "train/good/a.heatmap.png",
                               "train/good/Thumbs.db", "train/good/._a.png"},
                              {"part [train/good] train good 1"}},
                      Variant{"other endings of images",
                              {"train/good/a.jfif", "train/good/b.JPE", "train/good/c.dib"},
                              {"part [train/good] train good 3"}}));

// A list with one good image to train on and a row with the label to test on.
struct Label {
  const char* written;
  const char* read;  // "good", the kind of defect, or "" if the label is refused
};

TEST(ReadingOfLists, FollowsTheTable) {
  constexpr Label kLabels[] = {{"good", "good"},
                               {"good ", "good"},
                               {" Good", "good"},
                               {"OK", "good"},
                               {"i.O.", "good"},
                               {"Normal", "good"},
                               {"no defect", "good"},
                               {"良品", "good"},
                               {"pass", "good"},
                               {"bueno", "good"},
                               {"conforme", "good"},
                               {"hole", "hole"},
                               {" hole ", "hole"},
                               {"NG", "NG"},
                               {"not ok", "not ok"},
                               {"2", "2"},
                               {"defekt", "defekt"},
                               {"0", ""},
                               {"1", ""},
                               {"1.0", ""},
                               {"True", ""},
                               {"false", ""},
                               {"Positive", ""},
                               {"negative", ""},
                               {"yes", ""},
                               {"", ""},
                               {"  ", ""},
                               {"ok_front", ""},
                               {"good/bad", ""},
                               {"nan", ""},
                               {"none", ""},
                               {"-", ""}};
  for (const Label& label : kLabels) {
    const TempDirectory root;
    for (const char* file : {"a.png", "b.png"}) WriteFile(root.path(), file);
    WriteFile(
        root.path(), "dataset.csv",
        std::string("path,label,split\na.png,good,Train\nb.png,") + label.written + ",test \n");
    std::string read;
    try {
      const Dataset dataset = Open(root.path());
      const auto sample = std::find_if(dataset.samples.begin(), dataset.samples.end(),
                                       [](const Sample& one) { return one.name == "b.png"; });
      ASSERT_NE(sample, dataset.samples.end());
      EXPECT_EQ(sample->label, label.written);
      read = sample->good ? "good" : sample->defect;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "CSV_LABEL");
      EXPECT_THAT(error.what(), AllOf(HasSubstr("dataset.csv:3"), HasSubstr("write \"good\"")));
    }
    EXPECT_EQ(read, label.read) << "'" << label.written << "'";
  }
}

TEST(ReadingOfLists, RefusesMasksAsImages) {
  for (const char* text : {"path,label,split,mask\na.png,cut,test,m.png\nm.png,good,train,\n",
                           "path,label,split\na.png,good,train\na_mask.png,good,train\n"}) {
    const TempDirectory root;
    for (const char* file : {"a.png", "m.png", "a_mask.png"}) WriteFile(root.path(), file);
    WriteFile(root.path(), "dataset.csv", text);
    try {
      Open(root.path());
      ADD_FAILURE() << text;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "DATASET_NOT_A_PICTURE");
      EXPECT_THAT(error.what(), AllOf(HasSubstr("mask"), HasSubstr("\"a.png\"")));
    }
  }
}

TEST(ReadingOfFolders, TellsWhatItSkips) {
  const TempDirectory root;
  for (const char* file : {"a.png", "b.gif", "Thumbs.db", "@eaDir/a.png", ".thumbnails/a.png",
                           "a.overlay.png", "a.heatmap.json"}) {
    WriteFile(root.path(), file);
  }
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.samples.size(), 1u);
  EXPECT_THAT(dataset.ignored, ElementsAre("b.gif"));
  EXPECT_THAT(dataset.skipped.at(SkipReason::kSystem), ElementsAre("@eaDir", "Thumbs.db"));
  EXPECT_THAT(dataset.skipped.at(SkipReason::kHidden), ElementsAre(".thumbnails"));
  EXPECT_THAT(dataset.skipped.at(SkipReason::kOwnOutput),
              ElementsAre("a.heatmap.json", "a.overlay.png"));
}

TEST(ReadingOfFolders, FollowsLinksInsideAndRefusesThoseOutside) {
  const TempDirectory root;
  WriteFile(root.path(), "pool/1.png");
  WriteFile(root / "set", "bolt/stock/1.png");
  fs::create_directories(root / "set/bolt/train");
  fs::rename(root / "set/bolt/stock", root / "set/bolt/train/ok");
  fs::create_directories(root / "set/bolt/test");
  fs::create_directory_symlink("../train/ok", root / "set/bolt/test/good");
  EXPECT_THAT(Readings(Open(root / "set")), ElementsAre("bolt [bolt/train/ok] train good 1",
                                                        "bolt [bolt/test/good] test good 1"));
  fs::create_directory_symlink("../../../pool", root / "set/bolt/test/cut");
  try {
    Open(root / "set");
    ADD_FAILURE();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "DATASET_LINK_OUTSIDE");
    EXPECT_THAT(error.what(), HasSubstr("bolt/test/cut"));
  }
}

}  // namespace
}  // namespace proad::model
