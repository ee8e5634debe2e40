// The parts of the command-line client that need no server: tables, AUROC, folder labels, the search
// for images, and the report on the machine.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "client/cli/folder_labels.h"
#include "client/cli/images.h"
#include "client/cli/machine.h"
#include "client/cli/skipped_files.h"
#include "client/cli/table.h"
#include "model/dataset/skipped_entries.h"
#include "tests/support/temp_directory.h"

namespace proad::client {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

std::vector<LabelledScore> Scores(const std::vector<double>& good, const std::vector<double>& bad,
                                  const std::string& category = "c") {
  std::vector<LabelledScore> scores;
  for (const double score : good) {
    scores.push_back({{category, "good", FolderMeaning::kGood}, score});
  }
  for (const double score : bad) {
    scores.push_back({{category, "hole", FolderMeaning::kDefective}, score});
  }
  return scores;
}

TEST(Table, WidthsAreThoseOfATerminal) {
  EXPECT_EQ(DisplayWidth("plain"), 5u);
  EXPECT_EQ(DisplayWidth("gr\xc3\xbc\xc3\x9f"), 4u);
  EXPECT_EQ(DisplayWidth("a\xcc\x88"), 1u);                 // a, combining diaeresis
  EXPECT_EQ(DisplayWidth("\xe6\x97\xa5\xe6\x9c\xac"), 4u);  // two wide characters
  EXPECT_EQ(DisplayWidth("\xff\xfe"), 2u);                  // not UTF-8
  EXPECT_EQ(DisplayWidth(""), 0u);
}

TEST(Table, NamesCannotMoveTheCursor) {
  EXPECT_EQ(Printable("a\x1b[2Jb\nc\x7f"), "a?[2Jb?c?");
  EXPECT_EQ(Printable("\xc2\x9b"
                      "x"),
            "?x");                         // a control character of two bytes
  EXPECT_EQ(Printable("\xe6\x97"), "??");  // cut short
  EXPECT_EQ(Printable("gr\xc3\xbc\xc3\x9f \xe6\x97\xa5"), "gr\xc3\xbc\xc3\x9f \xe6\x97\xa5");
}

TEST(Table, ColumnsLineUp) {
  const Table table({{"file", 6}, {"score", 7, true}, {"verdict"}});
  EXPECT_EQ(table.Header(), "file      score  verdict");
  EXPECT_EQ(table.Row({"\xc3\xa4.png", "0.5", "NORMAL"}), "\xc3\xa4.png       0.5  NORMAL");
  EXPECT_EQ(table.Row({"too long a name", "1", ""}), "too long a name        1");
  EXPECT_EQ(Format({{"a"}, {"b", 0, true}}, {{"x", "1"}, {"yyy", "22"}}),
            "a     b\nx     1\nyyy  22\n");
}

TEST(Auroc, IsTheShareOfPairsInOrder) {
  EXPECT_THAT(Auroc(Scores({1, 2}, {3, 4})), Optional(DoubleEq(1.0)));
  EXPECT_THAT(Auroc(Scores({3, 4}, {1, 2})), Optional(DoubleEq(0.0)));
  EXPECT_THAT(Auroc(Scores({1, 3}, {2, 4})), Optional(DoubleEq(0.75)));
}

TEST(Auroc, TiesCountHalf) {
  EXPECT_THAT(Auroc(Scores({1, 1}, {1, 1})), Optional(DoubleEq(0.5)));
  EXPECT_THAT(Auroc(Scores({1, 2}, {2, 3})), Optional(DoubleEq(0.875)));
}

TEST(Auroc, NeedsGoodAndBad) {
  EXPECT_FALSE(Auroc({}));
  EXPECT_FALSE(Auroc(Scores({1}, {})));
  EXPECT_FALSE(Auroc(Scores({}, {1})));
}

TEST(Auroc, MeanIsOverTheCategoriesThatHaveOne) {
  auto scores = Scores({1}, {2}, "all right");
  for (const auto& one : Scores({2}, {1}, "all wrong")) scores.push_back(one);
  for (const auto& one : Scores({1, 2, 3}, {}, "only good")) scores.push_back(one);
  const AurocReport report = MakeAurocReport(scores);
  EXPECT_THAT(report.mean, Optional(DoubleEq(0.5)));
  EXPECT_THAT(report.categories.at("all right").auroc, Optional(DoubleEq(1.0)));
  EXPECT_FALSE(report.categories.at("only good").auroc);
  EXPECT_EQ(report.categories.at("only good").images, 3u);
  EXPECT_FALSE(MakeAurocReport({}).mean);
}

TEST(FolderLabels, FollowTheLayout) {
  const auto good = LabelOf("/data/pcb/test/good/1.png", false);
  ASSERT_TRUE(good);
  EXPECT_EQ(good->category, "pcb");
  EXPECT_EQ(good->meaning, FolderMeaning::kGood);
  const auto bad = LabelOf("/data/pcb/test/hole/1.png", false);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->meaning, FolderMeaning::kDefective);
  EXPECT_FALSE(LabelOf("/data/pcb/train/good/1.png", false));
  EXPECT_FALSE(LabelOf("/data/pcb/train/good/1.png", true));
  EXPECT_FALSE(LabelOf("/data/pcb/good/1.png", false));
  const auto loose = LabelOf("/data/pcb/hole/1.png", true);
  ASSERT_TRUE(loose);
  EXPECT_EQ(loose->category, "pcb");
  EXPECT_EQ(loose->meaning, FolderMeaning::kDefective);
}

TEST(FolderLabels, UnderstandWords) {
  const struct {
    const char* path;
    FolderMeaning meaning;
  } kTable[] = {{"part/test/ok/1.png", FolderMeaning::kGood},
                {"part/test/OK /1.png", FolderMeaning::kGood},
                {"part/Test/i.O./1.png", FolderMeaning::kGood},
                {"part/test/ko/1.png", FolderMeaning::kDefective},
                {"part/test/hole/1.png", FolderMeaning::kDefective},
                {"part/test/Positive/1.png", FolderMeaning::kAmbiguous}};
  for (const auto& row : kTable) {
    const auto label = LabelOf(row.path, false);
    ASSERT_TRUE(label) << row.path;
    EXPECT_EQ(label->category, "part") << row.path;
    EXPECT_EQ(label->meaning, row.meaning) << row.path;
  }
  EXPECT_FALSE(LabelOf("part/Train/ok/1.png", true));
}

TEST(FolderLabels, AmbiguousWordsDoNotCount) {
  std::vector<LabelledScore> scores = Scores({1}, {2});
  scores.push_back({{"c", "Positive", FolderMeaning::kAmbiguous}, 0});
  const AurocReport report = MakeAurocReport(scores);
  EXPECT_THAT(report.mean, Optional(DoubleEq(1.0)));
  EXPECT_EQ(report.categories.at("c").images, 2u);
  EXPECT_THAT(report.folders.at(FolderMeaning::kAmbiguous), ElementsAre("Positive"));
}

// A dataset and `proad detect FOLDER` read the same files. Masks and lists have rules of their own.
TEST(SkippedFiles, AreThoseOfDatasets) {
  for (const char* name : {"a.png", "a.JPG", "a.jfif", "a.jpe", "a.DIB", "a.tif", "a.gif", "a.txt",
                           "png", ".a.png", "Thumbs.db", "desktop.ini", "a.overlay.png",
                           "a.heatmap.png", "a.heatmap.json", ".overlay.png", "b.heatmap.u16"}) {
    const auto reason = model::ReasonToSkip(name, false);
    const bool is_read = !reason && model::IsImageName(name);
    EXPECT_EQ(is_read, !ReasonToSkip(name, false)) << name;
  }
  for (const char* name : {"good", "@eaDir", "#recycle", "__MACOSX", ".thumbnails", "lost+found",
                           "$RECYCLE.BIN", "System Volume Information", "@tmp"}) {
    EXPECT_EQ(model::ReasonToSkip(name, true).has_value(), ReasonToSkip(name, true).has_value())
        << name;
  }
}

class Images : public ::testing::Test {
 protected:
  void Make(const std::string& name) {
    std::filesystem::create_directories((folder_ / name).parent_path());
    proad::testing::WriteText(folder_ / name, "content");
  }
  std::vector<std::string> Relative(const std::vector<std::string>& arguments) {
    std::vector<std::string> names;
    for (const InputImage& image : CollectImages(arguments).images) {
      EXPECT_TRUE(image.problem.ok()) << image.problem;
      names.push_back(image.relative.string());
    }
    return names;
  }
  std::string Root() const { return folder_.path().string(); }

  proad::testing::TempDirectory folder_;
};

TEST_F(Images, FoldersAreWalkedInOrder) {
  for (const char* name :
       {"b/2.PNG", "b/10.jpeg", "a b/\xc3\xa4.tif", "c.webp", "d.jfif", "notes.txt", ".hidden.png",
        ".git/x.png", "ground_truth/hole/1.png", "png"}) {
    Make(name);
  }
  EXPECT_THAT(Relative({Root()}),
              ElementsAre("a b/\xc3\xa4.tif", "b/10.jpeg", "b/2.PNG", "c.webp", "d.jfif"));
}

TEST_F(Images, SeveralFoldersAreNamedFromTheOneAboveThem) {
  for (const char* name : {"brick/test/good/1.png", "gravel/test/good/1.png"}) Make(name);
  EXPECT_THAT(Relative({Root() + "/brick/test", Root() + "/gravel/test/"}),
              ElementsAre("brick/test/good/1.png", "gravel/test/good/1.png"));
  EXPECT_THAT(Relative({Root() + "/brick/test/"}), ElementsAre("good/1.png"));
}

TEST_F(Images, FilesAreTakenAsTheyAre) {
  Make("no-extension");
  Make("ground_truth/1.png");
  EXPECT_THAT(Relative({Root() + "/no-extension", Root() + "/ground_truth/1.png"}),
              ElementsAre("no-extension", "1.png"));
}

TEST_F(Images, WhatIsNotThereStaysInTheList) {
  Make("empty/notes.txt");
  const auto images = CollectImages({Root() + "/nope.png", Root() + "/empty"}).images;
  ASSERT_EQ(images.size(), 2u);
  EXPECT_THAT(std::string(images[0].problem.message()), HasSubstr("no such file"));
  EXPECT_THAT(std::string(images[1].problem.message()), HasSubstr("no images"));
}

TEST_F(Images, ExtensionsOfEveryDecoderAreImages) {
  for (const char* name : {"1.JFIF", "2.jpe", "3.dib", "4.TIFF", "5.gif"}) Make(name);
  EXPECT_THAT(Relative({Root()}), ElementsAre("1.JFIF", "2.jpe", "3.dib", "4.TIFF"));
}

TEST_F(Images, SkippedEntriesAreCounted) {
  for (const char* name :
       {"1.png", "1.png.overlay.png", "1.png.heatmap.png", "overlay.png", ".thumbnails/1.png",
        "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/1.png", "Thumbs.db", "a/notes.txt",
        "b.gif", "ground_truth/1.png", "pool/2.png"}) {
    Make(name);
  }
  std::filesystem::create_directories(folder_ / "parts");
  for (const char* name : {"1.png", "1.png.overlay.png", "1.png.heatmap.png", "overlay.png",
                           ".thumbnails", "a", "__MACOSX", "Thumbs.db", "b.gif", "ground_truth"}) {
    std::filesystem::rename(folder_ / name, folder_ / "parts" / name);
  }
  std::filesystem::create_directory_symlink("../pool", folder_ / "parts" / "linked");
  std::filesystem::create_symlink("gone.png", folder_ / "parts" / "broken.png");
  std::filesystem::create_symlink("../pool/2.png", folder_ / "parts" / "file.png");

  const ImageList list = CollectImages({Root() + "/parts"});
  std::vector<std::string> names;
  for (const InputImage& image : list.images) names.push_back(image.relative.string());
  EXPECT_THAT(names, ElementsAre("1.png", "file.png", "overlay.png"));
  std::map<SkipReason, size_t> counts;
  for (const auto& [reason, group] : list.skipped.groups()) counts[reason] = group.count;
  EXPECT_THAT(counts,
              ElementsAre(Pair(SkipReason::kNotAnImage, 2), Pair(SkipReason::kLinkedFolder, 1),
                          Pair(SkipReason::kOwnOutput, 2), Pair(SkipReason::kMaskFolder, 1),
                          Pair(SkipReason::kSystem, 3), Pair(SkipReason::kHidden, 1),
                          Pair(SkipReason::kNotAFile, 1)));
  EXPECT_THAT(list.skipped.groups().at(SkipReason::kLinkedFolder).paths,
              ElementsAre(Root() + "/parts/linked/"));
}

TEST_F(Images, GivenFoldersAreSearchedWhateverTheirName) {
  Make("pool/1.png");
  Make(".hidden/2.png");
  std::filesystem::create_directory_symlink("pool", folder_ / "linked");
  EXPECT_THAT(Relative({Root() + "/linked", Root() + "/.hidden"}),
              ElementsAre("linked/1.png", ".hidden/2.png"));
}

TEST_F(Images, OwnOutputIsSkippedWhereverItIsNamed) {
  Make("1.png");
  Make("1.png.overlay.png");
  const ImageList list = CollectImages({Root() + "/1.png", Root() + "/1.png.overlay.png"});
  EXPECT_EQ(list.images.size(), 1u);
  EXPECT_EQ(list.skipped.groups().at(SkipReason::kOwnOutput).count, 1u);
}

TEST_F(Images, PathsOfSkippedEntriesAreBounded) {
  Make("1.png");
  for (int i = 0; i < 20; ++i) Make(std::to_string(i) + ".txt");
  const SkippedFiles skipped = CollectImages({Root()}).skipped;
  EXPECT_EQ(skipped.count(), 20u);
  EXPECT_EQ(skipped.groups().at(SkipReason::kNotAnImage).paths.size(), 5u);
}

TEST_F(Images, ReadsWholeFilesOnly) {
  Make("1.png");
  const auto content = ReadImage(folder_ / "1.png");
  ASSERT_TRUE(content.ok()) << content.status();
  EXPECT_EQ(*content, "content");
  EXPECT_FALSE(ReadImage(folder_.path()).ok());
  EXPECT_FALSE(ReadImage(folder_ / "gone.png").ok());
  std::filesystem::resize_file(folder_ / "1.png", (uint64_t{1} << 30) + 1);  // sparse
  EXPECT_EQ(ReadImage(folder_ / "1.png").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MachineTest, IsReadFromProc) {
  const proad::testing::TempDirectory root;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root / name).parent_path());
    proad::testing::WriteText(root / name, text);
  };
  write("proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nflags\t\t: fpu avx2 amx_tile xyz\n");
  write("proc/meminfo", "MemTotal:       16384 kB\nMemAvailable:    8192 kB\n");
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("sys/fs/cgroup/memory.max", "4194304\n");
  write("proc/driver/nvidia/gpus/0000:00:05.0/information", "Model: \t\t NVIDIA H100\nIRQ: 1\n");
  write("proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n");
  const Machine machine = InspectMachine(root.path().string());
  EXPECT_EQ(machine.cpu, "Some CPU @ 2.0GHz");
  EXPECT_THAT(machine.simd, UnorderedElementsAre("avx2", "amx_tile"));
  EXPECT_EQ(machine.memory_bytes, uint64_t{16} << 20);
  EXPECT_EQ(machine.available_bytes, uint64_t{8} << 20);
  EXPECT_EQ(machine.memory_limit_bytes, uint64_t{4} << 20);
  EXPECT_DOUBLE_EQ(machine.core_quota, 1.5);
  EXPECT_THAT(machine.gpus, ElementsAre("NVIDIA H100"));
  EXPECT_EQ(machine.gpu_driver, "580.65.06");
}

TEST(MachineTest, ABareOneIsNoError) {
  const proad::testing::TempDirectory root;
  const Machine machine = InspectMachine(root.path().string());
  EXPECT_EQ(machine.memory_bytes, 0u);
  EXPECT_EQ(machine.memory_limit_bytes, 0u);
  EXPECT_TRUE(machine.gpus.empty());
}

}  // namespace
}  // namespace proad::client
