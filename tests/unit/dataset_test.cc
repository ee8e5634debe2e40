#include "model/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/csv.h"
#include "model/error.h"
#include "tests/support/dataset_files.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteFile;
using ::proad::testing::WriteFiles;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// "CATEGORY SPLIT NAME DEFECT MASK", the last two where there are such.
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

Dataset Open(const fs::path& path, DatasetFormat format = DatasetFormat::kAuto,
             std::vector<std::string> categories = {}) {
  DatasetOptions options;
  options.format = format;
  options.categories = std::move(categories);
  return OpenDataset(path, options);
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

constexpr char kVisaSplit[] =
    "object,split,label,image,mask\n"
    "candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n"
    "candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n"
    "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n"
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,\n"
    "pcb1,test,anomaly,pcb1/Data/Images/Anomaly/000.JPG,pcb1/Data/Masks/Anomaly/000.png\n";

void WriteVisa(const fs::path& root) {
  WriteFiles(root, {"candle/Data/Images/Normal/0000.JPG", "candle/Data/Images/Normal/0001.JPG",
                    "candle/Data/Images/Anomaly/000.JPG", "candle/Data/Masks/Anomaly/000.png",
                    "pcb1/Data/Images/Normal/0000.JPG", "pcb1/Data/Images/Anomaly/000.JPG",
                    "pcb1/Data/Masks/Anomaly/000.png"});
  WriteFile(root, "split_csv/1cls.csv", kVisaSplit);
  WriteFile(root, "candle/image_anno.csv",
            "image,label,mask\r\n"
            "candle/Data/Images/Normal/0000.JPG,normal,\r\n"
            "candle/Data/Images/Anomaly/000.JPG,\"melded,chunk\","
            "candle/Data/Masks/Anomaly/000.png\r\n");
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

constexpr char kRealIad[] = R"({"meta": {"prefix": "usb/", "normal_class": "OK"},
  "train": [{"category": "usb", "anomaly_class": "OK", "image_path": "OK/S1/a.jpg",
             "mask_path": null}],
  "test": [{"category": "usb", "anomaly_class": "AK", "image_path": "NG/AK/S1/b.jpg",
            "mask_path": "NG/AK/S1/b.png"},
           {"category": "usb", "anomaly_class": "OK", "image_path": "NG/AK/S1/c.jpg",
            "mask_path": null}]})";

void WriteRealIad(const fs::path& root, const std::string& lists, const std::string& pictures) {
  for (const char* name : {"OK/S1/a.jpg", "NG/AK/S1/b.jpg", "NG/AK/S1/b.png", "NG/AK/S1/c.jpg"})
    WriteFile(root, pictures + "/usb/" + name);
  WriteFile(root, lists + "/usb.json", kRealIad);
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

TEST(OpenDataset, NamesTheFilesItPassesOver) {
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

TEST(OpenDataset, TakesNamesWithSpacesAndUtf8AndLinksInside) {
  const TempDirectory root;
  WriteFiles(root.path(), {"große Teile/train/good/Bild 1 ä.png"});
  fs::create_symlink("Bild 1 ä.png", root / "große Teile/train/good/link.png");
  EXPECT_THAT(Lines(Open(root.path())),
              ElementsAre("große Teile train große Teile/train/good/Bild 1 ä.png",
                          "große Teile train große Teile/train/good/link.png"));
}

// Something wrong with a dataset, and what is said.
struct Wrong {
  const char* name;
  std::function<void(const fs::path& root)> make;
  const char* reason;
  std::vector<std::string> words;
  DatasetFormat format = DatasetFormat::kAuto;
  const char* entrance = "";
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class WrongTest : public ::testing::TestWithParam<Wrong> {};

TEST_P(WrongTest, IsRefused) {
  const TempDirectory root;
  fs::create_directory(root / "set");
  GetParam().make(root / "set");
  try {
    Open(root / "set" / GetParam().entrance, GetParam().format);
    FAIL() << "was accepted";
  } catch (const InvalidInput& error) {
    EXPECT_EQ(error.field(), "dataset");
    EXPECT_EQ(error.reason(), GetParam().reason) << error.what();
    for (const std::string& word : GetParam().words) EXPECT_THAT(error.what(), HasSubstr(word));
  }
}

std::function<void(const fs::path&)> Files(std::vector<const char*> names) {
  return [names](const fs::path& root) {
    for (const char* name : names) WriteFile(root, name);
  };
}

std::function<void(const fs::path&)> Csv(const char* text) {
  return [text](const fs::path& root) {
    WriteFiles(root, {"a.png", "b.png", "m.png", "x.txt"});
    fs::create_directory(root / "linked");
    fs::create_symlink("/etc/passwd", root / "linked/out.png");
    WriteFile(root, "dataset.csv", text);
  };
}

std::function<void(const fs::path&)> RealIad(const char* json) {
  return [json](const fs::path& root) {
    WriteRealIad(root, "realiad_jsons", "realiad_256");
    WriteFile(root, "realiad_jsons/usb.json", json);
  };
}

std::function<void(const fs::path&)> Visa(const char* row) {
  return [row](const fs::path& root) {
    WriteVisa(root);
    WriteFile(root, "split_csv/1cls.csv", std::string(kVisaSplit) + row);
  };
}

INSTANTIATE_TEST_SUITE_P(
    Folders, WrongTest,
    ::testing::Values(
        Wrong{"missing",
              [](const fs::path&) {},
              "DATASET_FILE_MISSING",
              {"none"},
              DatasetFormat::kAuto,
              "none"},
        Wrong{"empty", [](const fs::path&) {}, "DATASET_LAYOUT", {"MVTec-AD", "dataset.csv"}},
        Wrong{"a picture",
              Files({"a.png"}),
              "DATASET_LAYOUT",
              {"a.png", "neither a folder"},
              DatasetFormat::kAuto,
              "a.png"},
        Wrong{"empty, named",
              [](const fs::path&) {},
              "DATASET_EMPTY",
              {"set", "mvtec"},
              DatasetFormat::kMvtec},
        Wrong{"empty category",
              Files({"bolt/train/good/a.png", "nut/train/good/a.txt"}),
              "DATASET_EMPTY",
              {"nut"}},
        Wrong{"defects to train on",
              Files({"bolt/train/cut/a.png"}),
              "TRAIN_NOT_GOOD",
              {"bolt/train/cut", "bolt/test/cut"}},
        Wrong{"in train",
              Files({"bolt/train/a.png"}),
              "DATASET_LAYOUT",
              {"bolt/train/a.png", "bolt/train/good"}},
        Wrong{"in test",
              Files({"bolt/train/good/a.png", "bolt/test/a.png"}),
              "DATASET_LAYOUT",
              {"bolt/test/a.png", "bolt/test/DEFECT"}},
        Wrong{"in the category",
              Files({"bolt/train/good/a.png", "bolt/b.png"}),
              "DATASET_LAYOUT",
              {"bolt/b.png", "bolt/train/good"}},
        Wrong{"other folder",
              Files({"bolt/train/good/a.png", "bolt/validation/good/b.png"}),
              "DATASET_LAYOUT",
              {"bolt/validation"}},
        Wrong{"too deep",
              Files({"bolt/train/good/sub/a.png"}),
              "DATASET_LAYOUT",
              {"bolt/train/good/sub", "too deep"}},
        Wrong{"verdicts for categories",
              Files({"good/a.png", "bad/b.png"}),
              "DATASET_LAYOUT",
              {"bad", "train/good"}},
        Wrong{"mask without its picture",
              Files({"bolt/test/cut/a.png", "bolt/ground_truth/cut/a_mask.png",
                     "bolt/ground_truth/cut/b_mask.png"}),
              "MASK_WITHOUT_PICTURE",
              {"bolt/ground_truth/cut/b_mask.png", "bolt/test/cut"}},
        Wrong{"masks without pictures",
              Files({"bolt/test/good/a.png", "bolt/ground_truth/cut/b_mask.png"}),
              "MASK_WITHOUT_PICTURE",
              {"bolt/ground_truth/cut", "bolt/test/cut"}},
        Wrong{"missing mask",
              Files({"bolt/test/cut/a.png", "bolt/test/cut/b.png",
                     "bolt/ground_truth/cut/a_mask.png"}),
              "MASK_MISSING",
              {"b.png", "bolt/ground_truth/cut/b_mask.png"}},
        Wrong{"two masks",
              Files({"bolt/test/cut/a.png", "bolt/ground_truth/cut/a.png",
                     "bolt/ground_truth/cut/a.bmp"}),
              "MASK_AMBIGUOUS",
              {"a.bmp", "a.png"}},
        Wrong{"mask of a good picture",
              Files({"bolt/test/good/a.png", "bolt/ground_truth/good/a.png"}),
              "MASK_OF_GOOD",
              {"bolt/ground_truth/good"}},
        Wrong{"link outside",
              [](const fs::path& root) {
                WriteFile(root, "a.png");
                fs::create_symlink("/etc/passwd", root / "b.png");
              },
              "DATASET_LINK_OUTSIDE",
              {"b.png"}},
        Wrong{"folder outside, with the root's name as a prefix",
              [](const fs::path& root) {
                WriteFile(root, "../set2/good/a.png");
                fs::create_directories(root / "bolt");
                fs::create_symlink(root / "../set2", root / "bolt/train");
              },
              "DATASET_LINK_OUTSIDE",
              {"bolt/train"}},
        Wrong{"link to nothing",
              [](const fs::path& root) {
                WriteFile(root, "a.png");
                fs::create_symlink("gone.png", root / "b.png");
              },
              "DATASET_FILE_MISSING",
              {"b.png"}},
        Wrong{"link to itself",
              [](const fs::path& root) { fs::create_symlink("b.png", root / "b.png"); },
              "DATASET_FILE_MISSING",
              {"b.png"}},
        Wrong{"pipe",
              [](const fs::path& root) { mkfifo((root / "a.png").c_str(), 0600); },
              "DATASET_NOT_A_FILE",
              {"a.png", "pipe"}},
        Wrong{"not UTF-8", Files({"a\xff.png"}), "DATASET_NAME_NOT_UTF8", {"a\\ufffd.png"}}));

INSTANTIATE_TEST_SUITE_P(
    Lists, WrongTest,
    ::testing::Values(
        Wrong{"no list", Files({"a.png"}), "DATASET_LAYOUT", {"0 CSV files"}, DatasetFormat::kCsv},
        Wrong{"empty file", Csv(""), "DATASET_EMPTY", {"dataset.csv"}},
        Wrong{"no rows", Csv("path,label,split\n"), "DATASET_EMPTY", {"set"}},
        Wrong{"column missing",
              Csv("path,label\na.png,good\n"),
              "CSV_COLUMN",
              {"dataset.csv:1", "\"split\" is missing"}},
        Wrong{"column unknown",
              Csv("path,label,split,catgory\n"),
              "CSV_COLUMN",
              {"\"catgory\" is unknown", "category"}},
        Wrong{"column twice",
              Csv("path,label,split,path\n"),
              "CSV_COLUMN",
              {"\"path\" stands twice"}},
        Wrong{"split",
              Csv("path,label,split\na.png,good,val\n"),
              "DATASET_SPLIT",
              {"dataset.csv:2", "val", "train"}},
        Wrong{"label",
              Csv("path,label,split\na.png,good,train\n\nb.png,1,test\n"),
              "CSV_LABEL",
              {"dataset.csv:4", "\"1\"", "good"}},
        Wrong{"defective to train on",
              Csv("path,label,split\na.png,cut,train\n"),
              "TRAIN_NOT_GOOD",
              {"dataset.csv:2", "a.png", "cut"}},
        Wrong{"no such picture",
              Csv("path,label,split\nz.png,good,train\n"),
              "DATASET_FILE_MISSING",
              {"dataset.csv:2", "z.png"}},
        Wrong{"no such mask",
              Csv("path,label,split,mask\na.png,cut,test,z.png\n"),
              "DATASET_FILE_MISSING",
              {"dataset.csv:2 (mask)", "z.png"}},
        Wrong{"mask without its picture",
              Csv("path,label,split,mask\n,cut,test,m.png\n"),
              "MASK_WITHOUT_PICTURE",
              {"dataset.csv:2", "m.png"}},
        Wrong{"mask of a good picture",
              Csv("path,label,split,mask\na.png,good,test,m.png\n"),
              "MASK_OF_GOOD",
              {"dataset.csv:2", "a.png", "m.png"}},
        Wrong{"absolute",
              Csv("path,label,split\n/etc/passwd,good,train\n"),
              "DATASET_PATH_OUTSIDE",
              {"dataset.csv:2", "/etc/passwd", "relative"}},
        Wrong{"climbs out",
              Csv("path,label,split\nx/../../a.png,good,train\n"),
              "DATASET_PATH_OUTSIDE",
              {"dataset.csv:2", ".."}},
        Wrong{"link outside",
              Csv("path,label,split\nlinked/out.png,good,train\n"),
              "DATASET_LINK_OUTSIDE",
              {"dataset.csv:2", "out.png"}},
        Wrong{"not a picture",
              Csv("path,label,split\nx.txt,good,train\n"),
              "DATASET_NOT_A_PICTURE",
              {"dataset.csv:2", "x.txt", "PNG"}},
        Wrong{"listed twice",
              Csv("path,label,split\na.png,good,train\n./a.png,cut,test\n"),
              "DATASET_DUPLICATE",
              {"a.png"}},
        Wrong{"not CSV",
              Csv("path,label,split\na.png,good\n"),
              "CSV_DAMAGED",
              {"dataset.csv:2", "2 fields"}},
        Wrong{"visa without its split",
              Files({"candle/image_anno.csv"}),
              "DATASET_LAYOUT",
              {"split_csv/1cls.csv"}},
        Wrong{"visa label",
              Visa("candle,test,bad,candle/Data/Images/Anomaly/000.JPG,\n"),
              "CSV_LABEL",
              {"1cls.csv:7", "bad", "anomaly"}},
        Wrong{"visa mask missing",
              Visa("candle,test,anomaly,candle/Data/Images/Anomaly/001.JPG,\n"),
              "MASK_MISSING",
              {"1cls.csv:7", "001.JPG"}},
        Wrong{"visa category outside",
              Visa("..,train,normal,../a.JPG,\n"),
              "DATASET_LINK_OUTSIDE",
              {".."}},
        Wrong{"json elsewhere",
              Files({"usb.json"}),
              "DATASET_LAYOUT",
              {"realiad_jsons"},
              DatasetFormat::kAuto,
              "usb.json"},
        Wrong{"no pictures beside the json",
              Files({"realiad_jsons/usb.json"}),
              "JSON_DAMAGED",
              {"usb.json"}},
        Wrong{"not JSON", RealIad("{\"train\": ["), "JSON_DAMAGED", {"usb.json", "byte"}},
        Wrong{"no test", RealIad("{\"train\": []}"), "JSON_FIELD", {"usb.json", "\"test\""}},
        Wrong{"no list", RealIad("[]"), "JSON_FIELD", {"usb.json", "\"train\""}},
        Wrong{"no entry",
              RealIad("{\"train\": [7], \"test\": []}"),
              "JSON_FIELD",
              {"train[0]", "object"}},
        Wrong{"no path",
              RealIad(R"({"train": [{"category": "usb", "anomaly_class": "OK",
              "mask_path": null}], "test": []})"),
              "JSON_FIELD",
              {"train[0]", "image_path"}},
        Wrong{"other category",
              RealIad(R"({"train": [{"category": "toy", "anomaly_class": "OK",
              "mask_path": null, "image_path": "OK/S1/a.jpg"}], "test": []})"),
              "JSON_FIELD",
              {"train[0].category", "toy", "usb"}},
        Wrong{"defective in the JSON's train",
              RealIad(R"({"train": [{"category": "usb",
              "anomaly_class": "AK", "mask_path": null, "image_path": "NG/AK/S1/b.jpg"}],
              "test": []})"),
              "TRAIN_NOT_GOOD",
              {"train[0]", "AK"}},
        Wrong{"climbs out of the JSON's folder",
              RealIad(R"({"train": [{"category": "usb",
              "anomaly_class": "OK", "mask_path": null, "image_path": "../../../a.jpg"}],
              "test": []})"),
              "DATASET_PATH_OUTSIDE",
              {"train[0]", ".."}}));

TEST(OpenDataset, NamesTheCategoriesThatThereAre) {
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

TEST(OpenDataset, HasLimits) {
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

TEST(CheckTrainable, NamesCategoriesWithoutGoodPictures) {
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

TEST(CheckEvaluable, NeedsBothKinds) {
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

TEST(DatasetFormat, NamesGoThereAndBack) {
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

std::vector<std::vector<std::string>> Fields(const std::string& text) {
  std::vector<std::vector<std::string>> fields;
  for (const CsvRow& row : ParseCsv(text, "list.csv")) fields.push_back(row.fields);
  return fields;
}

TEST(ParseCsv, ReadsFields) {
  using Rows = std::vector<std::vector<std::string>>;
  const std::map<std::string, Rows> cases = {
      {"", {}},
      {"\n\r\n", {}},
      {"a", {{"a"}}},
      {"a,\n", {{"a", ""}}},
      {",", {{"", ""}}},
      {"a,b\r\nc,d", {{"a", "b"}, {"c", "d"}}},
      {"\"\"", {{""}}},
      {"\"a,\"\"\r\nb\",c\n", {{"a,\"\r\nb", "c"}}},
      {"\xEF\xBB\xBF\"a\"", {{"a"}}},
      {"a\rb", {{"a\rb"}}},
  };
  for (const auto& [text, rows] : cases) EXPECT_EQ(Fields(text), rows) << text;
}

TEST(ParseCsv, NamesTheLineOfWhatIsWrong) {
  const std::map<std::string, std::vector<std::string>> cases = {
      {"a,b\nc\n", {"list.csv:2:", "1 fields", "2"}},
      {"a\n\n\"b\nc", {"list.csv:3:", "never closed"}},
      {"a\n\"b\nc\"d", {"list.csv:3:", "closing quote"}},
      {"a\nb\"c\"", {"list.csv:2:", "quote"}},
      {"a\n\xff", {"list.csv:2:", "UTF-8"}},
      {std::string(64, ','), {"list.csv:1:", "64 columns"}},
  };
  for (const auto& [text, words] : cases) {
    try {
      Fields(text);
      FAIL() << text;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "CSV_DAMAGED");
      for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }
  EXPECT_THROW(ParseCsv("a\nb\nc\n", "list.csv", {.rows = 2}), InvalidInput);
}

}  // namespace
}  // namespace proad::model
