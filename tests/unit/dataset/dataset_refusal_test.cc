// Datasets that are refused, and the words of the errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/files/error.h"
#include "tests/support/dataset_files.h"
#include "tests/support/small_datasets.h"
#include "tests/support/temp_directory.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using ::proad::testing::kVisaSplit;
using ::proad::testing::Open;
using ::proad::testing::TempDirectory;
using ::proad::testing::WriteFile;
using ::proad::testing::WriteFiles;
using ::proad::testing::WriteRealIad;
using ::proad::testing::WriteVisa;
using ::testing::HasSubstr;

// A wrong dataset, and words of its error.
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

std::function<void(const fs::path&)> Files(std::vector<std::string> names) {
  return [names](const fs::path& root) {
    for (const std::string& name : names) WriteFile(root, name);
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
        Wrong{"category with a control character",
              Files({"bolt\x7f/train/good/a.png"}),
              "CATEGORY_NAME",
              {"bolt\\u007f", "control character"}},
        Wrong{"category with a long name",
              Files({std::string(129, 'a') + "/train/good/a.png"}),
              "CATEGORY_NAME",
              {"129 bytes"}},
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
              {"dataset.csv:1", "\"split\" is missing", "the header has \"path\", \"label\""}},
        Wrong{"columns separated by bars",
              Csv("path|label|split\na.png|good|train\n"),
              "CSV_COLUMN",
              {"\"path\" is missing", "the header has \"path|label|split\""}},
        Wrong{"two separators in the header",
              Csv("path;label,split\na.png;good,train\n"),
              "CSV_DAMAGED",
              {"dataset.csv:1", "semicolons"}},
        Wrong{"column unknown",
              Csv("path,label,split,catgory\n"),
              "CSV_COLUMN",
              {"\"catgory\" is unknown", "category"}},
        Wrong{"column twice",
              Csv("path,label,split,path\n"),
              "CSV_COLUMN",
              {"\"path\" occurs twice"}},
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
              Visa("candle,test,chunk,candle/Data/Images/Anomaly/000.JPG,\n"),
              "CSV_LABEL",
              {"1cls.csv:7", "chunk", "anomaly"}},
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

}  // namespace
}  // namespace proad::model
