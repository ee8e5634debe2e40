#include "server/uploads/dataset_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/dataset/dataset.h"
#include "model/dataset/skipped_entries.h"
#include "model/files/sha256.h"
#include "server/uploads/dataset_upload.h"
#include "server/util/status_details.h"
#include "tests/support/dataset_files.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ReadText;
using testing::SmallBmp;
using testing::TempDirectory;
using testing::WriteFile;
using testing::WriteText;

std::string Digest(const std::string& content) {
  return absl::HexStringToBytes(model::Sha256Hex(content));
}

// Announces a file and sends it in two chunks.
absl::Status Send(DatasetUpload& upload, const std::string& path, const std::string& content) {
  const auto bytes = static_cast<int64_t>(content.size());
  if (absl::Status status = upload.StartFile(path, bytes, Digest(content)); !status.ok()) {
    return status;
  }
  if (content.empty()) return absl::OkStatus();
  const size_t half = content.size() / 2;
  if (absl::Status status = upload.Append(content.substr(0, half)); !status.ok()) return status;
  return upload.Append(content.substr(half));
}

class DatasetStoreTest : public ::testing::Test {
 protected:
  DatasetStoreTest() {
    options_.root = root_ / "datasets";
    options_.min_free_bytes = 0;
    Restart();
  }

  void Restart() { store_ = std::make_unique<DatasetStore>(options_); }

  std::unique_ptr<DatasetUpload> Begin(const std::string& id = "pcb") {
    auto upload = store_->Begin(id, 0, 0);
    EXPECT_TRUE(upload.ok()) << upload.status();
    return upload.ok() ? *std::move(upload) : nullptr;
  }

  fs::path Files() const { return options_.root / "pcb/pcb"; }

  // Does `work` in a process of its own, which ends with Die.
  void DoAndDie(const std::function<void()>& work) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      work();
      _exit(1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    Restart();
  }

  // With no destructor run.
  static void Die() { kill(getpid(), SIGKILL); }

  static void Expect(const absl::Status& status, absl::StatusCode code, const std::string& field,
                     const std::string& words) {
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(GetDetails(status).field, field) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }

  TempDirectory root_;
  DatasetStore::Options options_;
  std::unique_ptr<DatasetStore> store_;
};

TEST_F(DatasetStoreTest, ADatasetComesFileByFileAndIsThenComplete) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a picture, häßlich.PNG", "one").ok());
  ASSERT_TRUE(Send(*upload, "empty.txt", "").ok());
  ASSERT_TRUE(Send(*upload, "test/scratch/000.bmp", "two").ok());
  EXPECT_EQ(upload->dataset().files, 3);
  EXPECT_EQ(upload->dataset().bytes, 6);
  EXPECT_EQ(upload->dataset().last_path, "test/scratch/000.bmp");
  EXPECT_FALSE(upload->dataset().complete);
  EXPECT_EQ(store_->Open("pcb").status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(upload->Finish(3).ok());
  EXPECT_TRUE(upload->dataset().complete);
  upload.reset();

  for (int starts = 0; starts < 2; ++starts, Restart()) {
    const auto found = store_->Find("pcb");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(found->complete);
    EXPECT_EQ(found->files, 3);
    EXPECT_EQ(found->last_path, "test/scratch/000.bmp");
    const fs::path files = store_->Open("pcb").value();
    EXPECT_EQ(ReadText(files / "a picture, häßlich.PNG"), "one");
    EXPECT_EQ(ReadText(files / "test/scratch/000.bmp"), "two");
    EXPECT_EQ(fs::file_size(files / "empty.txt"), 0u);
    Expect(store_->Begin("pcb", 0, 0).status(), absl::StatusCode::kAlreadyExists,
           "start.dataset_id", "complete");
  }
}

TEST_F(DatasetStoreTest, APlainFolderIsOneCategoryNamedAsTheDataset) {
  auto upload = Begin("brake-pads");
  ASSERT_TRUE(Send(*upload, "000.bmp", SmallBmp()).ok());
  ASSERT_TRUE(upload->Finish(1).ok());
  const model::Dataset dataset = model::OpenDataset(store_->Open("brake-pads").value());
  EXPECT_THAT(dataset.categories, ElementsAre("brake-pads"));
  EXPECT_EQ(dataset.samples.size(), 1u);
}

TEST_F(DatasetStoreTest, AnUploadThatBreaksOffLosesTheFileUnderWayAndNothingElse) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  ASSERT_TRUE(upload->StartFile("b.png", 3, Digest("two")).ok());
  ASSERT_TRUE(upload->Append("tw").ok());
  upload.reset();

  upload = Begin();
  EXPECT_EQ(upload->dataset().last_path, "a.png");
  EXPECT_EQ(upload->dataset().files, 1);
  EXPECT_FALSE(fs::exists(Files() / "b.png"));
  ASSERT_TRUE(Send(*upload, "b.png", "two").ok());
  EXPECT_TRUE(upload->Finish(2).ok());
}

TEST_F(DatasetStoreTest, WholeFilesSurviveTheDeathOfTheProcess) {
  DoAndDie([this] {
    auto upload = Begin();
    Send(*upload, "a.png", "one").IgnoreError();
    Send(*upload, "deep/in/b.png", "two").IgnoreError();
    upload->StartFile("deep/in/c.png", 5, Digest("three")).IgnoreError();
    upload->Append("thr").IgnoreError();
    Die();
  });
  auto upload = Begin();
  EXPECT_EQ(upload->dataset().files, 2);
  EXPECT_EQ(upload->dataset().bytes, 6);
  EXPECT_EQ(upload->dataset().last_path, "deep/in/b.png");
  EXPECT_EQ(ReadText(Files() / "deep/in/b.png"), "two");
  ASSERT_TRUE(Send(*upload, "deep/in/c.png", "three").ok());
  EXPECT_TRUE(upload->Finish(3).ok());
}

TEST_F(DatasetStoreTest, WhatWasFinishedIsCompleteWhateverHappensNext) {
  DoAndDie([this] {
    auto upload = Begin();
    Send(*upload, "a.png", "one").IgnoreError();
    upload->Finish(1).IgnoreError();
    Die();
  });
  EXPECT_TRUE(store_->Find("pcb").value().complete);
  EXPECT_TRUE(store_->Open("pcb").ok());
}

TEST_F(DatasetStoreTest, ATornLineOfTheJournalCostsItsFileOnly) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  upload.reset();
  const fs::path journal = options_.root / "pcb/.journal";
  const std::string whole = ReadText(journal);
  const std::string zeros(40, '\0');
  for (const std::string& tail :
       {absl::StrCat("3 ", model::Sha256Hex("two"), " b.png"), std::string("3 "),
        std::string("x\n"), zeros, zeros + "\n",
        absl::StrCat("-1 ", model::Sha256Hex("two"), " b.png\n"),
        absl::StrCat("3 ", model::Sha256Hex("two").substr(1), " b.png\n")}) {
    WriteText(journal, whole + tail);
    WriteText(Files() / "b.png", "two");  // moved into its place, and not yet written down
    upload = Begin();
    EXPECT_EQ(upload->dataset().files, 1) << absl::CEscape(tail);
    EXPECT_EQ(upload->dataset().last_path, "a.png");
    EXPECT_FALSE(fs::exists(Files() / "b.png")) << "what is not in the journal is no part of it";
    upload.reset();
    EXPECT_THAT(ReadText(journal), ::testing::StartsWith(whole));
  }
  upload = Begin();
  ASSERT_TRUE(Send(*upload, "b.png", "two").ok());
  EXPECT_TRUE(upload->Finish(2).ok());
  EXPECT_EQ(store_->Find("pcb").value().files, 2);
}

TEST_F(DatasetStoreTest, FilesThatAPowerCutDamagedAreSentAgain) {
  DoAndDie([this] {
    auto upload = Begin();
    for (const char* path : {"a.png", "b.png", "sub/c.png", "sub/d.png"}) {
      Send(*upload, path, "content").IgnoreError();
    }
    Die();
  });
  WriteText(Files() / "sub/c.png", std::string(7, '\0'));
  auto upload = Begin();
  EXPECT_EQ(upload->dataset().files, 2);
  EXPECT_EQ(upload->dataset().last_path, "b.png");
  EXPECT_FALSE(fs::exists(Files() / "sub")) << "an empty folder would read as a category";
  ASSERT_TRUE(Send(*upload, "sub/c.png", "content").ok());
  EXPECT_TRUE(upload->Finish(3).ok());
}

TEST_F(DatasetStoreTest, LeftoversAreNoPartOfTheDataset) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  upload.reset();
  WriteFile(Files(), "planted/deep/x.png", "x");
  fs::create_symlink("/etc/passwd", Files() / "b.png");
  WriteText(options_.root / "pcb/.incoming", "half a file");
  upload = Begin();
  ASSERT_TRUE(Send(*upload, "c.png", "three").ok());
  ASSERT_TRUE(upload->Finish(2).ok());
  upload.reset();
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(Files())) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("a.png", "c.png"));
  EXPECT_FALSE(fs::exists(options_.root / "pcb/.incoming"));
}

TEST_F(DatasetStoreTest, PathsThatCannotBeFilesOfADatasetAreRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "1 to 512"},
      {"/etc/a.png", "empty part"},
      {"a//b.png", "empty part"},
      {"a/", "empty part"},
      {"../a.png", "leads elsewhere"},
      {"a/../b.png", "leads elsewhere"},
      {"a/./b.png", "leads elsewhere"},
      {"a/..", "leads elsewhere"},
      {".hidden.png", "begins with a dot"},
      {std::string("a\0b.png", 7), "NUL"},
      {"a\xff.png", "UTF-8"},
      {std::string(509, 'a') + ".png", "1 to 512"},
      {std::string(300, 'a') + ".png", "at most 255"},
      {"run.sh", ".png"},
      {"png", ".png"},
      {"a.png.exe", ".png"},
  };
  for (const auto& [path, words] : cases) {
    auto upload = Begin();
    SCOPED_TRACE(absl::CEscape(path.substr(0, 40)));
    const absl::Status status = upload->StartFile(path, 3, Digest("one"));
    Expect(status, absl::StatusCode::kInvalidArgument, "file.path", words);
    EXPECT_LT(status.message().size(), 300u);
  }
}

TEST_F(DatasetStoreTest, FilesComeInAscendingOrder) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "b/1.png", "one").ok());
  for (const char* path : {"b/1.png", "b/0.png", "a.png", "B/2.png"}) {
    Expect(upload->StartFile(path, 3, Digest("one")), absl::StatusCode::kInvalidArgument,
           "file.path", "ascending");
  }
  EXPECT_TRUE(Send(*upload, "b/\xc3\xa4.png", "one").ok()) << "compared as bytes";
}

TEST_F(DatasetStoreTest, AFolderCannotHaveTheNameOfAFile) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  Expect(Send(*upload, "a.png/b.png", "two"), absl::StatusCode::kInvalidArgument, "file.path",
         "no folder");
}

TEST_F(DatasetStoreTest, AFileMustBeWhatWasAnnounced) {
  auto upload = Begin();
  Expect(upload->StartFile("a.png", 3, "short"), absl::StatusCode::kInvalidArgument, "file.sha256",
         "32");
  Expect(upload->Append("x"), absl::StatusCode::kInvalidArgument, "chunk", "no file");
  ASSERT_TRUE(upload->StartFile("a.png", 3, Digest("one")).ok());
  Expect(upload->Append("four"), absl::StatusCode::kInvalidArgument, "chunk", "longer");

  upload.reset();
  upload = Begin();
  ASSERT_TRUE(upload->StartFile("a.png", 3, Digest("one")).ok());
  ASSERT_TRUE(upload->Append("on").ok());
  Expect(upload->StartFile("b.png", 3, Digest("two")), absl::StatusCode::kInvalidArgument, "file",
         "2 of 3");
  Expect(upload->Finish(1), absl::StatusCode::kInvalidArgument, "finish", "2 of 3");

  upload.reset();
  upload = Begin();
  Expect(Send(*upload, "a.png", "").ok() ? upload->StartFile("b.png", 0, Digest("x"))
                                         : absl::OkStatus(),
         absl::StatusCode::kInvalidArgument, "file.sha256", "SHA-256");

  upload.reset();
  upload = Begin();
  ASSERT_TRUE(upload->StartFile("b.png", 3, Digest("one")).ok());
  Expect(upload->Append("two"), absl::StatusCode::kInvalidArgument, "file.sha256", "b.png");
  upload.reset();
  EXPECT_FALSE(fs::exists(Files() / "b.png"));
  EXPECT_EQ(store_->Find("pcb").value().files, 1);
}

TEST_F(DatasetStoreTest, FinishCountsTheFilesAndLeavesTheUploadOpen) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  Expect(upload->Finish(2), absl::StatusCode::kInvalidArgument, "finish.files", "stays open");
  upload.reset();
  upload = Begin();
  EXPECT_TRUE(upload->Finish(1).ok());
}

// The endings of proad detect; an image has the limit of images as well.
TEST_F(DatasetStoreTest, TakesEveryEndingOfAnImageUpToTheLimitOfImages) {
  options_.image.max_bytes = 10;
  options_.max_file_bytes = 20;
  Restart();
  auto upload = Begin();
  for (const char* ending : model::ImageEndings()) {
    Expect(upload->StartFile(absl::StrCat("a", ending), 11, Digest("x")),
           absl::StatusCode::kResourceExhausted, "", "at most 10 are accepted (image.max_bytes)");
  }
  Expect(upload->StartFile("a.csv", 21, Digest("x")), absl::StatusCode::kResourceExhausted, "",
         "at most 20 are accepted (training.uploads.max_file_bytes)");
  ASSERT_TRUE(Send(*upload, "a.JFIF", "0123456789").ok());
  ASSERT_TRUE(Send(*upload, "b.csv", "01234567890123456789").ok());
}

TEST_F(DatasetStoreTest, LimitsAreStated) {
  options_.max_files = 2;
  options_.max_file_bytes = 10;
  options_.max_dataset_bytes = 15;
  Restart();
  Expect(store_->Begin("pcb", 16, 0).status(), absl::StatusCode::kResourceExhausted, "",
         "15 bytes");
  Expect(store_->Begin("pcb", 0, 3).status(), absl::StatusCode::kResourceExhausted, "", "2 files");
  auto upload = Begin();
  Expect(upload->StartFile("a.png", 11, Digest("x")), absl::StatusCode::kResourceExhausted, "",
         "at most 10");
  ASSERT_TRUE(Send(*upload, "a.png", "0123456789").ok());
  Expect(upload->StartFile("b.png", 6, Digest("x")), absl::StatusCode::kResourceExhausted, "",
         "15 bytes");
  ASSERT_TRUE(Send(*upload, "b.png", "01234").ok());
  Expect(upload->StartFile("c.png", 0, Digest("")), absl::StatusCode::kResourceExhausted, "",
         "2 files");
}

TEST_F(DatasetStoreTest, TheDiskIsNeverFilledUp) {
  options_.min_free_bytes = int64_t{1} << 60;
  Restart();
  const absl::Status status = store_->Begin("pcb", 0, 0).status();
  Expect(status, absl::StatusCode::kResourceExhausted, "", "free");
  EXPECT_EQ(GetDetails(status).reason, "DISK_FULL");
  EXPECT_EQ(store_->Find("pcb").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(DatasetStoreTest, AFullDiskCostsTheFileUnderWay) {
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = Send(*upload, "b.png", std::string(5000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(GetDetails(status).reason, "DISK_FULL");
  upload.reset();
  EXPECT_FALSE(fs::exists(options_.root / "pcb/.incoming"));
  upload = Begin();
  EXPECT_EQ(upload->dataset().last_path, "a.png");
}

TEST_F(DatasetStoreTest, AFolderThatIsALinkLeadsNowhere) {
  TempDirectory outside;
  auto upload = Begin();
  ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
  fs::create_directory_symlink(outside.path(), Files() / "b");
  Expect(Send(*upload, "b/c.png", "two"), absl::StatusCode::kInvalidArgument, "file.path",
         "no folder");
  EXPECT_TRUE(fs::is_empty(outside.path()));
}

TEST_F(DatasetStoreTest, OneStreamADatasetAndSoManyAtOnce) {
  options_.max_uploads = 2;
  Restart();
  auto first = Begin("one");
  const absl::Status twice = store_->Begin("one", 0, 0).status();
  Expect(twice, absl::StatusCode::kAborted, "start.dataset_id", "another stream");
  auto second = Begin("two");
  const absl::Status third = store_->Begin("three", 0, 0).status();
  Expect(third, absl::StatusCode::kResourceExhausted, "", "2 uploads");
  EXPECT_TRUE(GetDetails(third).retry_after.has_value());
  first.reset();
  EXPECT_NE(Begin("three"), nullptr);
}

TEST_F(DatasetStoreTest, WhatIsNoNameIsRefusedAndUnknownOnesListTheKnown) {
  for (const std::string& id :
       {std::string(""), std::string(".."), std::string("a/b"), std::string("UPPER"),
        std::string(65, 'a'), std::string("a\0", 2)}) {
    Expect(store_->Begin(id, 0, 0).status(), absl::StatusCode::kInvalidArgument, "start.dataset_id",
           "not a name");
    EXPECT_EQ(store_->Find(id).status().code(), absl::StatusCode::kNotFound);
  }
  Expect(store_->Open("gravel").status(), absl::StatusCode::kNotFound, "spec.dataset_id",
         "there are: none");
  Begin("brick");
  Begin("pcb");
  Expect(store_->Open("gravel").status(), absl::StatusCode::kNotFound, "spec.dataset_id",
         "brick, pcb");
}

TEST_F(DatasetStoreTest, WhatNobodyUsesIsRemoved) {
  for (const char* id : {"old", "used", "filled"}) {
    auto upload = Begin(id);
    ASSERT_TRUE(Send(*upload, "a.png", "one").ok());
    ASSERT_TRUE(std::string(id) == "filled" || upload->Finish(1).ok());
  }
  const absl::Time now = absl::Now();
  EXPECT_EQ(store_->RemoveExpired(now), 0);
  const auto found = store_->Find("old");
  EXPECT_GT(found->expires, now + options_.keep_unused - absl::Minutes(1));
  for (const char* id : {"old", "used"}) {
    fs::last_write_time(options_.root / id / ".used",
                        fs::file_time_type::clock::now() - std::chrono::hours(24 * 8));
  }
  EXPECT_LT(store_->Find("used")->expires, now);
  ASSERT_TRUE(store_->Open("used").ok()) << "this is a use";
  EXPECT_EQ(store_->RemoveExpired(absl::Now()), 1);
  EXPECT_FALSE(fs::exists(options_.root / "old"));
  EXPECT_EQ(store_->Open("old").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(store_->Open("used").ok());

  auto upload = Begin("filled");
  EXPECT_EQ(store_->RemoveExpired(absl::Now() + absl::Hours(24 * 365)), 1) << "used, not filled";
  EXPECT_TRUE(fs::exists(options_.root / "filled"));
}

}  // namespace
}  // namespace proad::server
