// TrainingClient against a gRPC server that fails on request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/model_client.h"
#include "client/training_client.h"
#include "tests/support/scripted_service.h"
#include "tests/support/temp_directory.h"

namespace proad::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

proad::v1::CreateTrainJobRequest Request(const std::string& script = "",
                                         const std::string& model = "screws") {
  proad::v1::CreateTrainJobRequest request;
  request.mutable_spec()->set_model_name(model);
  request.mutable_spec()->set_dataset_path("screws");
  if (!script.empty()) (*request.mutable_spec()->mutable_labels())["script"] = script;
  return request;
}

class ClientTraining : public ::testing::Test {
 protected:
  static CallOptions Quick() { return {.retry = {.initial_backoff = absl::Milliseconds(1)}}; }
  static WatchOptions QuickWatch() { return {.retry = {.initial_backoff = absl::Milliseconds(1)}}; }
  static UploadOptions QuickUpload() {
    return {.retry = {.max_attempts = 3, .initial_backoff = absl::Milliseconds(1)}};
  }

  std::string Create(const std::string& script) {
    const auto job = client_.CreateTrainJob(Request(script));
    EXPECT_TRUE(job.ok()) << job.status();
    return job.ok() ? job->job_id() : "";
  }

  void Write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    proad::testing::WriteText(folder_ / path, content);
  }

  auto UploadFolder(const std::string& id) {
    return client_.UploadDataset(id, folder_.path(), QuickUpload());
  }

  proad::testing::ScriptedServer server_;
  std::shared_ptr<grpc::Channel> channel_ = Connect({.address = server_.address()});
  TrainingClient client_{channel_, Quick()};
  proad::testing::TempDirectory folder_;
};

TEST_F(ClientTraining, CreatesShowsCancelsAndResumes) {
  const std::string id = Create("failed");
  const auto watched = client_.Watch(id, [](const auto&) {});
  ASSERT_TRUE(watched.ok()) << watched.status();
  EXPECT_EQ(watched->state(), proad::v1::TRAIN_JOB_STATE_FAILED);
  const auto cancelled = client_.CancelTrainJob(id);
  EXPECT_EQ(cancelled.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(DetailsOf(cancelled.status()).reason, "JOB_WRONG_STATE");
  const auto resumed = client_.ResumeTrainJob(id);
  ASSERT_TRUE(resumed.ok()) << resumed.status();
  EXPECT_EQ(resumed->state(), proad::v1::TRAIN_JOB_STATE_QUEUED);
  const auto got = client_.GetTrainJob(id);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->job_id(), id);
  const auto stopped = client_.CancelTrainJob(id);
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(stopped->reason_code(), "CANCELLED_BY_USER");
}

TEST_F(ClientTraining, ErrorsNameFieldAndReason) {
  const auto job = client_.CreateTrainJob(Request("", "bad"));
  EXPECT_EQ(job.status().code(), absl::StatusCode::kInvalidArgument);
  ASSERT_THAT(DetailsOf(job.status()).fields, SizeIs(1));
  EXPECT_EQ(DetailsOf(job.status()).fields[0].field, "spec.model_name");
  const auto unknown = client_.GetTrainJob("nope");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(unknown.status().message()), HasSubstr("nope"));
}

TEST_F(ClientTraining, ALostResponseCreatesNoSecondJob) {
  const auto job = client_.CreateTrainJob(Request("lost"));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(server_.training().Jobs(), 1u);
  // Two calls are two jobs all the same.
  Create("");
  Create("");
  EXPECT_EQ(server_.training().Jobs(), 3u);
}

TEST_F(ClientTraining, ValidateOnlyCreatesNoJob) {
  auto request = Request();
  request.set_validate_only(true);
  const auto job = client_.CreateTrainJob(request);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(job->job_id(), IsEmpty());
  EXPECT_EQ(server_.training().Jobs(), 0u);
}

TEST_F(ClientTraining, ListsOverAllPagesNewestFirst) {
  for (int i = 0; i < 5; ++i) Create("");
  ASSERT_TRUE(client_.CancelTrainJob("job-2").ok());
  const auto all = client_.ListTrainJobs();
  ASSERT_TRUE(all.ok()) << all.status();
  std::vector<std::string> ids;
  for (const auto& job : *all) ids.push_back(job.job_id());
  EXPECT_THAT(ids, ElementsAre("job-5", "job-4", "job-3", "job-2", "job-1"));
  const auto cancelled = client_.ListTrainJobs({.states = {proad::v1::TRAIN_JOB_STATE_CANCELLED}});
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  ASSERT_THAT(*cancelled, SizeIs(1));
  EXPECT_EQ((*cancelled)[0].job_id(), "job-2");
  EXPECT_THAT(*client_.ListTrainJobs({.model_name = "other"}), IsEmpty());
}

TEST_F(ClientTraining, AWatchReportsEveryStateAndTheEnd) {
  std::vector<proad::v1::TrainJobState> states;
  uint64_t steps = 0;
  const auto job = client_.Watch(Create(""), [&](const proad::v1::TrainJob& now) {
    if (states.empty() || states.back() != now.state()) states.push_back(now.state());
    EXPECT_GE(now.progress().step(), steps);
    steps = now.progress().step();
  });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(states,
              ElementsAre(proad::v1::TRAIN_JOB_STATE_QUEUED, proad::v1::TRAIN_JOB_STATE_RUNNING,
                          proad::v1::TRAIN_JOB_STATE_SUCCEEDED));
  EXPECT_EQ(job->result_version().version(), "3");
  // One that has ended is told once.
  int reports = 0;
  ASSERT_TRUE(client_.Watch(job->job_id(), [&](const auto&) { ++reports; }).ok());
  EXPECT_EQ(reports, 1);
}

TEST_F(ClientTraining, AWatchReconnects) {
  for (const std::string script : {"interrupted", "hung up"}) {
    WatchOptions options = QuickWatch();
    std::vector<std::string> interruptions;
    options.on_interruption = [&](const absl::Status& status) {
      interruptions.push_back(std::string(status.message()));
    };
    const auto job = client_.Watch(
        Create(script), [](const auto&) {}, options);
    ASSERT_TRUE(job.ok()) << script << ": " << job.status();
    EXPECT_EQ(job->state(), proad::v1::TRAIN_JOB_STATE_SUCCEEDED) << script;
    EXPECT_THAT(interruptions, SizeIs(1)) << script;
  }
}

TEST_F(ClientTraining, AWatchGivesUpAfterItsPatience) {
  WatchOptions options = QuickWatch();
  options.patience = absl::Milliseconds(50);
  const auto job = client_.Watch(
      Create("gone"), [](const auto&) {}, options);
  EXPECT_EQ(job.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(job.status().message(), "socket closed");
}

TEST_F(ClientTraining, AWatchOfAnUnknownJobFailsAtOnce) {
  const auto job = client_.Watch("nope", [](const auto&) { FAIL() << "no report is due"; });
  EXPECT_EQ(job.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ClientTraining, AWatchCanBeStoppedAndTheJobContinues) {
  const std::string id = Create("endless");
  std::stop_source stop;
  WatchOptions options = QuickWatch();
  options.stop = stop.get_token();
  const auto job = client_.Watch(
      id,
      [&](const proad::v1::TrainJob& now) {
        if (now.progress().step() == 1) stop.request_stop();
      },
      options);
  EXPECT_EQ(job.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_.GetTrainJob(id)->state(), proad::v1::TRAIN_JOB_STATE_RUNNING);
}

TEST_F(ClientTraining, AWatchReportsACancellation) {
  const std::string id = Create("endless");
  std::jthread other;
  const auto job = client_.Watch(id, [&](const proad::v1::TrainJob& now) {
    if (now.progress().step() != 1 || other.joinable()) return;
    other = std::jthread([&] { EXPECT_TRUE(client_.CancelTrainJob(id).ok()); });
  });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->state(), proad::v1::TRAIN_JOB_STATE_CANCELLED);
}

// ---- uploads

TEST_F(ClientTraining, AFolderIsUploadedCompletelyAndInOrder) {
  const std::string big(size_t{5} << 19, 'x');  // 2.5 chunks
  Write("a/1.png", "one");
  Write("a-b/2.PNG", "two");
  Write("gr\xc3\xbc\xc3\x9f e/3.jpg", big);
  Write("empty.bmp", "");
  Write("split_csv/1cls.csv", "object,split\n");
  std::vector<UploadProgress> told;
  UploadOptions options = QuickUpload();
  options.on_progress = [&](const UploadProgress& progress) { told.push_back(progress); };
  const auto uploaded = client_.UploadDataset("parts", folder_.path(), options);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_TRUE(uploaded->complete());
  EXPECT_EQ(uploaded->files(), 5u);
  // '-' comes before '/'.
  EXPECT_THAT(server_.training().Files("parts"),
              ElementsAre(Pair("a-b/2.PNG", "two"), Pair("a/1.png", "one"), Pair("empty.bmp", ""),
                          Pair("gr\xc3\xbc\xc3\x9f e/3.jpg", big),
                          Pair("split_csv/1cls.csv", "object,split\n")));
  EXPECT_EQ(server_.training().LongestChunk(), size_t{1} << 20);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told.back().files, 5u);
  EXPECT_EQ(told.back().bytes, told.back().total_bytes);
  EXPECT_EQ(told.back().total_bytes, uploaded->size_bytes());
}

// As proad detect inspects them.
TEST_F(ClientTraining, EveryEndingOfAnImageIsSent) {
  for (const char* name : {"a.bmp", "b.dib", "c.JFIF", "d.jpe", "e.jpeg", "f.tif"})
    Write(name, name);
  const auto listing = ListFolder(folder_.path());
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_THAT(listing->left_out, ElementsAre());
  EXPECT_THAT(listing->files, SizeIs(6));
}

TEST_F(ClientTraining, OtherFilesAreLeftOutAndListed) {
  Write("1.png", "one");
  Write("readme.txt", "text");
  Write(".DS_Store", "hidden");
  Write(".git/2.png", "hidden");
  std::filesystem::create_directory_symlink(".", folder_ / "loop");
  std::filesystem::create_symlink("1.png", folder_ / "link.png");
  const auto listing = ListFolder(folder_.path());
  ASSERT_TRUE(listing.ok()) << listing.status();
  EXPECT_THAT(listing->left_out, ElementsAre(".DS_Store", ".git/", "loop/", "readme.txt"));
  ASSERT_THAT(listing->files, SizeIs(2));
  EXPECT_EQ(listing->files[0].path, "1.png");
  EXPECT_EQ(absl::BytesToHexString(listing->files[0].sha256),
            "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
  EXPECT_EQ(listing->files[1].path, "link.png");
}

TEST_F(ClientTraining, AnInvalidFolderIsRefusedBeforeTheUpload) {
  EXPECT_EQ(UploadFolder("x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(client_.UploadDataset("x", folder_ / "nope").status().code(),
            absl::StatusCode::kNotFound);
  Write("good.png", "one");
  Write("bad\xff.png", "two");
  const auto named = UploadFolder("x");
  EXPECT_EQ(named.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(named.status().message()), HasSubstr("bad\\xff.png"));
  std::filesystem::remove(folder_ / "bad\xff.png");
  const std::string part(200, 'p');
  Write(absl::StrCat(part, "/", part, "/", part, ".png"), "three");
  const auto longer = UploadFolder("x");
  EXPECT_EQ(longer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(longer.status().message()), HasSubstr("512"));
  EXPECT_EQ(server_.training().Announced(), 0);
}

TEST_F(ClientTraining, ABrokenUploadContinuesAfterTheLastCompleteFile) {
  for (int i = 0; i < 6; ++i) Write(absl::StrCat(i, ".png"), std::string(1000, 'a' + i));
  for (const std::string id : {"broken", "held"}) {
    const int before = server_.training().Announced();
    int interruptions = 0;
    UploadOptions options = QuickUpload();
    options.on_interruption = [&](const absl::Status&) { ++interruptions; };
    const auto uploaded = client_.UploadDataset(id, folder_.path(), options);
    ASSERT_TRUE(uploaded.ok()) << id << ": " << uploaded.status();
    EXPECT_TRUE(uploaded->complete());
    EXPECT_THAT(server_.training().Files(id), SizeIs(6));
    // Each stream brings one file and loses the one after it; more streams than max_attempts.
    EXPECT_EQ(server_.training().Announced() - before, 11);
    EXPECT_GE(interruptions, 5) << id;
  }
}

TEST_F(ClientTraining, AnEarlierUploadIsContinued) {
  Write("1.png", "one");
  Write("2.png", "two");
  UploadOptions once = QuickUpload();
  once.retry.max_attempts = 1;
  ASSERT_FALSE(client_.UploadDataset("broken", folder_.path(), once).ok());
  ASSERT_THAT(server_.training().Files("broken"), SizeIs(1));
  const auto uploaded = client_.UploadDataset("broken", folder_.path(), once);
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_THAT(server_.training().Files("broken"), SizeIs(2));
}

TEST_F(ClientTraining, AnotherFolderDoesNotContinueAnUpload) {
  Write("1.png", "one");
  Write("2.png", "two");
  UploadOptions once = QuickUpload();
  once.retry.max_attempts = 1;
  ASSERT_FALSE(client_.UploadDataset("broken", folder_.path(), once).ok());
  Write("0.png", "zero");
  const auto uploaded = client_.UploadDataset("broken", folder_.path(), once);
  EXPECT_EQ(uploaded.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(uploaded.status().message()), HasSubstr("another"));
  EXPECT_THAT(server_.training().Files("broken"), SizeIs(1));
}

TEST_F(ClientTraining, ALostResponseToAnUploadIsNoError) {
  Write("1.png", "one");
  const auto uploaded = UploadFolder("silent");
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  EXPECT_TRUE(uploaded->complete());
  EXPECT_EQ(uploaded->files(), 1u);
  // Once it is known to be complete, sending it again is one.
  EXPECT_EQ(UploadFolder("silent").status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ClientTraining, UploadsGiveUpAfterMaxAttempts) {
  Write("1.png", "one");
  EXPECT_EQ(UploadFolder("never").status().code(), absl::StatusCode::kUnavailable);
  std::stop_source stop;
  stop.request_stop();
  UploadOptions options = QuickUpload();
  options.stop = stop.get_token();
  EXPECT_EQ(client_.UploadDataset("parts", folder_.path(), options).status().code(),
            absl::StatusCode::kCancelled);
}

TEST_F(ClientTraining, AFileThatChangesDuringTheUploadIsNamed) {
  Write("1.png", "one");
  const auto listing = ListFolder(folder_.path());
  ASSERT_TRUE(listing.ok()) << listing.status();
  Write("1.png", "1");
  const auto shorter = client_.UploadDataset("parts", folder_.path(), *listing, QuickUpload());
  EXPECT_EQ(shorter.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(shorter.status().message()), HasSubstr("1.png"));
  Write("1.png", "eno");
  const auto other = client_.UploadDataset("parts", folder_.path(), *listing, QuickUpload());
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailsOf(other.status()).reason, "DIGEST_MISMATCH");
  EXPECT_THAT(server_.training().Files("parts"), IsEmpty());
}

TEST_F(ClientTraining, TheSameContentHasTheSameDatasetId) {
  std::set<std::string> ids;
  const auto id = [&] {
    const auto listing = ListFolder(folder_ / "My Parts_1");
    EXPECT_TRUE(listing.ok()) << listing.status();
    return DatasetIdOf(folder_ / "My Parts_1", *listing);
  };
  Write("My Parts_1/1.png", "one");
  const std::string first = id();
  EXPECT_THAT(first, ::testing::MatchesRegex("my-parts_1-[0-9a-f]+"));
  Write("My Parts_1/readme.txt", "of no interest");
  EXPECT_EQ(id(), first);
  Write("My Parts_1/1.png", "two");
  EXPECT_NE(id(), first);
}

// ---- activation

TEST_F(ClientTraining, ActivatesOnlyIfTheExpectedVersionIsActive) {
  const ModelClient models(channel_, Quick());
  const auto done = models.ActivateModel("proad-tiny@1");
  ASSERT_TRUE(done.ok()) << done.status();
  EXPECT_EQ(done->active().version(), "1");
  EXPECT_EQ(done->previous().version(), "2");
  EXPECT_TRUE(models.ActivateModel("proad-tiny@1", "2").ok());
  for (const std::string expected : {"1", ""}) {
    EXPECT_EQ(models.ActivateModel("proad-tiny@1", expected).status().code(),
              absl::StatusCode::kAborted);
  }
}

}  // namespace
}  // namespace proad::client
