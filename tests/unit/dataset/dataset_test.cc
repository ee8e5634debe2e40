#include "model/dataset/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

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
using ::proad::testing::WriteFiles;
using ::proad::testing::WriteRealIad;
using ::proad::testing::WriteVisa;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "CATEGORY SPLIT NAME DEFECT MASK"; defect and mask only if present.
std::vector<std::string> Lines(const Dataset& dataset) {
  std::vector<std::string> lines;
  for (const Sample& sample : dataset.samples) {
    EXPECT_EQ(sample.path, fs::canonical(dataset.root / sample.name));
    EXPECT_EQ(sample.good, sample.defect.empty());
    std::string line = sample.category + " " + NameOf(sample.split) + " " + sample.name;
    if (!sample.good) line += " " + sample.defect;
    if (sample.mask) line += " " + sample.mask->lexically_relative(dataset.root).string();
    lines.push_back(line);
  }
  return lines;
}

void WriteMvtec(const fs::path& root) {
  WriteFiles(root,
             {"bolt/train/good/001.png", "bolt/train/good/000.png", "bolt/test/good/002.png",
              "bolt/test/cut/000.JPG", "bolt/ground_truth/cut/000_mask.png", "bolt/readme.txt",
              "bolt/.hidden", "license.txt", "nut/train/good/000.bmp", "nut/test/bent/000.png"});
}

TEST(OpenDataset, ReadsMvtec) {
  const TempDirectory root;
  WriteMvtec(root.path());
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.format, DatasetFormat::kMvtec);
  EXPECT_EQ(dataset.root, fs::canonical(root.path()));
  EXPECT_THAT(dataset.categories, ElementsAre("bolt", "nut"));
  EXPECT_THAT(
      Lines(dataset),
      ElementsAre("bolt train bolt/train/good/000.png", "bolt train bolt/train/good/001.png",
                  "bolt test bolt/test/cut/000.JPG cut bolt/ground_truth/cut/000_mask.png",
                  "bolt test bolt/test/good/002.png", "nut train nut/train/good/000.bmp",
                  "nut test nut/test/bent/000.png bent"));
}

TEST(OpenDataset, ReadsTheChosenCategoriesOnly) {
  const TempDirectory root;
  WriteMvtec(root.path());
  WriteFile(root.path(), "broken/train/bad/000.png");
  const Dataset dataset = Open(root.path(), DatasetFormat::kAuto, {"nut", "nut"});
  EXPECT_THAT(dataset.categories, ElementsAre("nut"));
  EXPECT_EQ(dataset.samples.size(), 2u);
}

TEST(OpenDataset, ReadsRearrangedVisa) {
  const TempDirectory root;
  WriteFiles(root.path(), {"1cls/candle/train/good/0000.JPG", "1cls/candle/test/good/0001.JPG",
                           "1cls/candle/test/bad/000.JPG", "1cls/candle/ground_truth/bad/000.png"});
  const std::vector<std::string> expected = {
      "candle train 1cls/candle/train/good/0000.JPG",
      "candle test 1cls/candle/test/bad/000.JPG bad 1cls/candle/ground_truth/bad/000.png",
      "candle test 1cls/candle/test/good/0001.JPG"};
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.format, DatasetFormat::kVisa1cls);
  EXPECT_EQ(Lines(dataset), expected);
  EXPECT_EQ(Open(root / "1cls", DatasetFormat::kVisa1cls).samples.size(), 3u);
}

TEST(OpenDataset, ReadsVisa) {
  const TempDirectory root;
  WriteVisa(root.path());
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.format, DatasetFormat::kVisa);
  EXPECT_THAT(Lines(dataset),
              ElementsAre("candle train candle/Data/Images/Normal/0000.JPG",
                          "candle test candle/Data/Images/Anomaly/000.JPG melded,chunk "
                          "candle/Data/Masks/Anomaly/000.png",
                          "candle test candle/Data/Images/Normal/0001.JPG",
                          "pcb1 train pcb1/Data/Images/Normal/0000.JPG",
                          "pcb1 test pcb1/Data/Images/Anomaly/000.JPG anomaly "
                          "pcb1/Data/Masks/Anomaly/000.png"));
}

TEST(OpenDataset, ReadsRealIad) {
  const TempDirectory root;
  WriteRealIad(root.path(), "realiad_jsons/realiad_jsons", "realiad_512");
  WriteRealIad(root.path(), "realiad_jsons/realiad_jsons", "realiad_1024");
  const std::vector<std::string> expected = {
      "usb train realiad_1024/usb/OK/S1/a.jpg",
      "usb test realiad_1024/usb/NG/AK/S1/b.jpg AK realiad_1024/usb/NG/AK/S1/b.png",
      "usb test realiad_1024/usb/NG/AK/S1/c.jpg"};
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.format, DatasetFormat::kRealIad);
  EXPECT_EQ(Lines(dataset), expected);
  EXPECT_EQ(Lines(Open(root / "realiad_jsons/realiad_jsons/usb.json")), expected);
}

TEST(OpenDataset, ReadsPlainFolders) {
  struct Case {
    std::vector<const char*> files;
    std::vector<std::string> lines;
  };
  const std::vector<Case> cases = {
      {{"b.png", "a.jpeg", "notes.txt"}, {"parts train a.jpeg", "parts train b.png"}},
      {{"train/a.tif", "test/good/b.tiff", "test/cut/c.webp"},
       {"parts train train/a.tif", "parts test test/cut/c.webp cut",
        "parts test test/good/b.tiff"}},
      {{"a.png", "test/cut/c.png", "ground_truth/cut/c.png"},
       {"parts train a.png", "parts test test/cut/c.png cut ground_truth/cut/c.png"}},
      {{"train/good/a.png"}, {"parts train train/good/a.png"}},
      {{"bolts/a.png", "nuts/b.png"}, {"bolts train bolts/a.png", "nuts train nuts/b.png"}},
  };
  for (const Case& test : cases) {
    const TempDirectory root;
    for (const char* file : test.files) WriteFile(root / "parts", file);
    for (const DatasetFormat format : {DatasetFormat::kAuto, DatasetFormat::kFolder}) {
      const Dataset dataset = Open(root / "parts", format);
      EXPECT_EQ(dataset.format, DatasetFormat::kFolder);
      EXPECT_EQ(Lines(dataset), test.lines);
    }
  }
}

TEST(OpenDataset, NamesIgnoredFiles) {
  const TempDirectory root;
  WriteFiles(root.path(), {"a.png", "b.gif", ".thumbnail.png"});
  EXPECT_THAT(Open(root.path()).ignored, ElementsAre("b.gif"));
}

TEST(OpenDataset, ReadsLists) {
  const TempDirectory root;
  WriteFiles(root.path(), {"a b.png", "Stück, \"neu\".png", "c.png", "masks/c.png", "d.png"});
  WriteFile(root.path(), "dataset.csv",
            "\xEF\xBB\xBFlabel,path,split,category,mask\r\n"
            "good,a b.png,train,bolt,\r\n"
            "OK,\"Stück, \"\"neu\"\".png\",test,bolt,\r\n"
            "\r\n"
            "cut,./c.png,test,bolt,masks/c.png\r\n"
            "normal,d.png,train,,");
  const std::vector<std::string> expected = {"bolt train a b.png", "bolt test Stück, \"neu\".png",
                                             "bolt test c.png cut masks/c.png",
                                             "dataset train d.png"};
  const Dataset dataset = Open(root.path());
  EXPECT_EQ(dataset.format, DatasetFormat::kCsv);
  EXPECT_EQ(Lines(dataset), expected);
  EXPECT_EQ(Lines(Open(root / "dataset.csv")), expected);
  EXPECT_THAT(Open(root.path(), DatasetFormat::kCsv, {"dataset"}).categories,
              ElementsAre("dataset"));
}

TEST(OpenDataset, ReadsListsWithSemicolonsAndTabs) {
  for (const char separator : {';', '\t'}) {
    const TempDirectory root;
    WriteFiles(root.path(), {"a, b.png", "c.png"});
    std::string text =
        "path|label|split\n"
        "a, b.png|good|train\n"
        "c.png|cut|test\n";
    std::replace(text.begin(), text.end(), '|', separator);
    WriteFile(root.path(), "dataset.csv", text);
    EXPECT_THAT(Lines(Open(root.path())),
                ElementsAre("dataset train a, b.png", "dataset test c.png cut"));
  }
}

TEST(OpenDataset, AcceptsSpacesUtf8AndLinksInside) {
  const TempDirectory root;
  WriteFiles(root.path(), {"große Teile/train/good/Bild 1 ä.png"});
  fs::create_symlink("Bild 1 ä.png", root / "große Teile/train/good/link.png");
  EXPECT_THAT(Lines(Open(root.path())),
              ElementsAre("große Teile train große Teile/train/good/Bild 1 ä.png",
                          "große Teile train große Teile/train/good/link.png"));
}

TEST(OpenDataset, AnUnknownCategoryIsAnsweredWithTheKnownOnes) {
  const TempDirectory root;
  WriteMvtec(root.path());
  try {
    Open(root.path(), DatasetFormat::kAuto, {"bolts"});
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "categories");
    EXPECT_EQ(error.reason(), "CATEGORY_UNKNOWN");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"bolts\""), HasSubstr("\"bolt\", \"nut\"")));
  }
}

TEST(OpenDataset, AppliesItsLimits) {
  const TempDirectory root;
  WriteMvtec(root.path());
  DatasetOptions few;
  few.max_files = 10;
  DatasetOptions small;
  small.max_list_bytes = 10;
  WriteFile(root.path(), "list/dataset.csv", "path,label,split\na.png,good,train\n");
  for (const auto& [path, options] : std::vector<std::pair<fs::path, DatasetOptions>>{
           {root.path(), few}, {root / "list", small}}) {
    try {
      OpenDataset(path, options);
      FAIL() << path;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "DATASET_TOO_LARGE");
      EXPECT_THAT(error.what(), HasSubstr("10"));
    }
  }
}

TEST(CheckTrainable, NamesCategoriesWithoutGoodImages) {
  const TempDirectory root;
  WriteMvtec(root.path());
  EXPECT_NO_THROW(CheckTrainable(Open(root.path())));
  WriteFile(root.path(), "clip/test/good/a.png");
  try {
    CheckTrainable(Open(root.path()));
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.reason(), "DATASET_NOT_TRAINABLE");
    EXPECT_THAT(error.what(), HasSubstr("\"clip\""));
  }
}

TEST(CheckEvaluable, NeedsGoodAndDefectiveImages) {
  const TempDirectory root;
  WriteMvtec(root.path());
  EXPECT_NO_THROW(CheckEvaluable(Open(root.path())));
  for (const char* category : {"nut"}) {  // defective pictures alone
    try {
      CheckEvaluable(Open(root.path(), DatasetFormat::kAuto, {category}));
      FAIL();
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "DATASET_ONE_CLASS");
    }
  }
}

TEST(DatasetFormat, RoundTripsNames) {
  for (const DatasetFormat format :
       {DatasetFormat::kAuto, DatasetFormat::kMvtec, DatasetFormat::kVisa, DatasetFormat::kVisa1cls,
        DatasetFormat::kRealIad, DatasetFormat::kFolder, DatasetFormat::kCsv}) {
    EXPECT_EQ(ParseDatasetFormat(NameOf(format)), format);
  }
  try {
    ParseDatasetFormat("coco");
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "dataset_format");
    EXPECT_THAT(error.what(), AllOf(HasSubstr("coco"), HasSubstr("real_iad")));
  }
}

}  // namespace
}  // namespace proad::model
