#include "server/jobs/job_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "server/util/status_details.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using proad::testing::ReadText;
using proad::testing::TempDirectory;
using proad::testing::WriteText;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

JobSpec SpecOf(const std::string& model) {
  JobSpec spec;
  spec.train.model_name = model;
  return spec;
}

std::unique_ptr<JobStore> OpenStore(const fs::path& root) {
  auto store = JobStore::Open(root);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::string CreateJob(JobStore& store, const std::string& model) {
  JobRecord record;
  const auto id = store.Create(SpecOf(model), record);
  EXPECT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(TimeOfJobId(*id), record.created) << *id;
  return *id;
}

// Names of everything in a directory but the store's lock.
std::vector<std::string> NamesIn(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename() != ".lock") names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST(JobStore, JobIsLoadedAsItWasWritten) {
  const TempDirectory directory;
  const fs::path root = directory / "made/when/absent";
  JobRecord record;
  record.request_id = "r";
  std::string id;
  {
    const auto store = OpenStore(root);
    id = *store->Create(SpecOf("pcb"), record);
  }
  const auto jobs = OpenStore(root)->Load();
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  ASSERT_EQ(jobs->size(), 1u);
  EXPECT_EQ(jobs->front().id, id);
  EXPECT_TRUE(*jobs->front().spec == SpecOf("pcb"));
  EXPECT_TRUE(*jobs->front().record == record);
}

TEST(JobStore, IdsIncreaseWithinAMillisecondAndAfterTheClockIsSetBack) {
  const TempDirectory directory;
  std::vector<std::string> ids;
  {
    const auto store = OpenStore(directory.path());
    for (int i = 0; i < 50; ++i) ids.push_back(CreateJob(*store, "m"));
    // A job from the future: made before the clock was set right.
    const fs::path last = directory.path() / ids.back();
    JobRecord record = *ReadRecord(last);
    record.created = TimeOfJobId("22000101-000000-000-00000000");
    ASSERT_TRUE(WriteRecord(last, record).ok());
    fs::rename(last, directory.path() / "22000101-000000-000-00000000");
    ids.back() = "22000101-000000-000-00000000";
  }
  const auto store = OpenStore(directory.path());
  ASSERT_TRUE(store->Load().ok());
  ids.push_back(CreateJob(*store, "m"));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end())) << ids.back();
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST(JobStore, DamagedJobIsLoadedAndOthersAreNotAffected) {
  const TempDirectory directory;
  std::string damaged, whole;
  {
    const auto store = OpenStore(directory.path());
    damaged = CreateJob(*store, "a");
    whole = CreateJob(*store, "b");
  }
  fs::resize_file(directory.path() / damaged / kSpecFile, 20);
  fs::remove(directory.path() / damaged / kStateFile);
  const auto jobs = OpenStore(directory.path())->Load();
  ASSERT_TRUE(jobs.ok()) << jobs.status();
  ASSERT_EQ(jobs->size(), 2u);
  EXPECT_EQ((*jobs)[0].id, damaged);
  EXPECT_EQ((*jobs)[0].spec.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ((*jobs)[0].record.status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE((*jobs)[1].spec.ok() && (*jobs)[1].record.ok());
}

TEST(JobStore, IncompleteDirectoryOfACrashIsRemoved) {
  const TempDirectory directory;
  std::string id;
  {
    const auto store = OpenStore(directory.path());
    id = CreateJob(*store, "a");
    ASSERT_TRUE(store->Remove(CreateJob(*store, "b")).ok());
  }
  fs::create_directories(directory.path() / ".staging-0123456789abcdef");
  WriteText(directory.path() / ".staging-0123456789abcdef" / kSpecFile, "{");
  WriteText(directory.path() / id / ".state.json.tmp-0123456789abcdef", "{");
  fs::create_directories(directory.path() / "lost+found");
  const auto store = OpenStore(directory.path());
  const auto jobs = store->Load();
  ASSERT_TRUE(jobs.ok());
  ASSERT_EQ(jobs->size(), 1u);
  store->DeleteRemoved();
  EXPECT_THAT(NamesIn(directory.path()), ElementsAre(id, "lost+found"));
  EXPECT_THAT(NamesIn(directory.path() / id), ElementsAre(kSpecFile, kStateFile));
}

TEST(JobStore, RemovedJobIsHiddenAtOnceAndDeletedLater) {
  const TempDirectory directory;
  const auto store = OpenStore(directory.path());
  const std::string id = CreateJob(*store, "a");
  fs::create_directories(store->Directory(id) / kWorkDirectory);
  WriteText(store->Directory(id) / kWorkDirectory / "state", "much");
  ASSERT_TRUE(store->RemoveWork(id).ok());
  EXPECT_THAT(NamesIn(store->Directory(id)), ElementsAre(kSpecFile, kStateFile));
  EXPECT_TRUE(store->RemoveWork(id).ok()) << "there is none any more, and that is what was wanted";
  ASSERT_TRUE(store->Remove(id).ok());
  EXPECT_FALSE(fs::exists(store->Directory(id)));
  EXPECT_THAT(*store->Load(), IsEmpty());
  store->DeleteRemoved();
  EXPECT_THAT(NamesIn(directory.path()), IsEmpty());
}

TEST(JobStore, SecondServerIsRefused) {
  const TempDirectory directory;
  {
    const auto store = OpenStore(directory.path());
    const auto second = JobStore::Open(directory.path());
    EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(second.status().message()), HasSubstr(directory.path().string()));
  }
  EXPECT_TRUE(JobStore::Open(directory.path()).ok());
}

TEST(JobStore, DirectoryThatCannotBeCreatedIsNamed) {
  const TempDirectory directory;
  WriteText(directory / "file", "");
  const auto store = JobStore::Open(directory / "file/jobs");
  EXPECT_FALSE(store.ok());
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("file/jobs"));
}

// What must hold when `create` was called on a disk without room.
void ExpectRefusedForRoom(const absl::StatusOr<std::string>& created, const fs::path& root) {
  EXPECT_EQ(created.status().code(), absl::StatusCode::kResourceExhausted) << created.status();
  EXPECT_EQ(GetDetails(created.status()).reason, "DISK_FULL");
  EXPECT_THAT(NamesIn(root), IsEmpty()) << "something half written was left behind";
}

TEST(JobStore, JobBeyondTheFileSizeLimitLeavesNoFiles) {
  const TempDirectory directory;
  const auto store = OpenStore(directory.path());
  JobSpec spec = SpecOf("m");
  spec.labels["large"] = std::string(20'000, 'x');
  JobRecord record;
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {10'000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto created = store->Create(spec, record);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ExpectRefusedForRoom(created, directory.path());
  EXPECT_TRUE(store->Create(spec, record).ok()) << "there is room again";
}

TEST(JobStore, JobOnAFullFileSystemLeavesNoFiles) {
  const TempDirectory directory;
  if (mount("proad-test", directory.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system cannot be mounted here: it takes root";
  }
  {
    const auto store = OpenStore(directory.path());
    JobSpec spec = SpecOf("m");
    spec.labels["large"] = std::string(100'000, 'x');
    JobRecord record;
    ExpectRefusedForRoom(store->Create(spec, record), directory.path());
    spec.labels.clear();
    EXPECT_TRUE(store->Create(spec, record).ok()) << "smaller ones still fit";
  }
  umount(directory.path().c_str());
}

TEST(JobStore, JobsAreRemovedByAgeAndByNumberOldestFirst) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  const auto ago = [now](int hours) { return now - absl::Hours(hours); };
  const std::vector<EndedJob> jobs = {
      {"new", ago(1)}, {"old", ago(48)}, {"middle", ago(5)}, {"oldest", ago(50)}};
  const absl::Duration day = absl::Hours(24);
  EXPECT_THAT(JobsToRemove(jobs, now, day, 1000), ElementsAre("oldest", "old"));
  EXPECT_THAT(JobsToRemove(jobs, now, absl::Hours(100), 3), ElementsAre("oldest"));
  EXPECT_THAT(JobsToRemove(jobs, now, day, 1), ElementsAre("oldest", "old", "middle"));
  EXPECT_THAT(JobsToRemove(jobs, now, absl::Hours(100), 0),
              ElementsAre("oldest", "old", "middle", "new"));
  EXPECT_THAT(JobsToRemove(jobs, now, absl::Hours(100), 4), IsEmpty());
  EXPECT_THAT(JobsToRemove({}, now, day, 0), IsEmpty());
}

}  // namespace
}  // namespace proad::server
