// The life of training jobs over gRPC, with a trainer that does what it is told.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "server/jobs/trainer_process.h"
#include "tests/support/training_server.h"

namespace proad::server {
namespace {

namespace fake = proad::testing;
namespace fs = std::filesystem;

using grpc::StatusCode;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST_F(TrainingTest, AJobRunsToItsEndAndShowsWhatItDid) {
  Start();
  v1::TrainJob made;
  ASSERT_TRUE(server_.Create(With(TrainingServer::Spec(), "ticket", "A-7"), made).ok());
  EXPECT_FALSE(made.job_id().empty());
  EXPECT_TRUE(made.has_create_time());
  std::vector<v1::TrainJob> seen;
  const grpc::Status end = Watch(made.job_id(), &seen);
  ASSERT_TRUE(end.ok()) << end.error_message();
  ASSERT_FALSE(seen.empty());

  const v1::TrainJob& job = seen.back();
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.reason_code(), "");
  EXPECT_EQ(job.attempts(), 1u);
  EXPECT_EQ(job.progress().step(), 3u);
  EXPECT_EQ(job.progress().steps(), 3u);
  EXPECT_EQ(job.progress().train_images(), 24u);
  EXPECT_EQ(job.progress().device(), "cpu");
  EXPECT_EQ(job.progress().loss(), 0.25);
  EXPECT_EQ(job.result_version().name(), "pcb");
  EXPECT_EQ(job.result_version().version(), "1");
  EXPECT_EQ(job.result_version().hash(), std::string(64, 'f'));
  ASSERT_EQ(job.evaluation().metrics_size(), 2);
  EXPECT_EQ(job.evaluation().metrics(0).name(), "image_auroc");
  EXPECT_EQ(job.evaluation().metrics(0).value(), 0.9);
  EXPECT_EQ(job.evaluation().images(), 2u);
  EXPECT_EQ(job.evaluation().step(), 3u);
  EXPECT_FALSE(job.has_gate_result());
  EXPECT_EQ(job.spec().labels().at("ticket"), "A-7");
  EXPECT_TRUE(job.has_start_time() && job.has_end_time() && job.has_update_time());
  EXPECT_LE(job.create_time().seconds(), job.end_time().seconds());

  v1::TrainJob found;
  ASSERT_TRUE(Get(made.job_id(), found).ok());
  EXPECT_EQ(found.SerializeAsString(), job.SerializeAsString());
}

TEST_F(TrainingTest, JobsAreListedPageByPageNewestFirst) {
  Start();
  std::vector<std::string> ids;
  for (const char* model : {"a", "b", "a", "b", "a"}) {
    v1::TrainJobSpec spec = Held();
    spec.set_model_name(model);
    ids.insert(ids.begin(), server_.Create(spec));
  }
  server_.AwaitPhase(ids.back(), v1::TRAIN_PHASE_TRAINING);  // it runs, the others wait
  EXPECT_EQ(ListIds(), ids);

  v1::ListTrainJobsRequest request;
  v1::ListTrainJobsResponse page;
  request.set_page_size(2);
  std::vector<std::string> listed;
  std::vector<int> sizes;
  do {
    ASSERT_TRUE(List(request, page).ok());
    sizes.push_back(page.jobs_size());
    for (const v1::TrainJob& job : page.jobs()) listed.push_back(job.job_id());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && sizes.size() < 9);
  EXPECT_EQ(listed, ids);
  EXPECT_THAT(sizes, ElementsAre(2, 2, 1));

  v1::ListTrainJobsRequest queued;
  queued.add_states(v1::TRAIN_JOB_STATE_QUEUED);
  ASSERT_TRUE(List(queued, page).ok());
  std::vector<int> positions;
  for (const v1::TrainJob& job : page.jobs()) positions.push_back(job.queue_position());
  EXPECT_THAT(positions, ElementsAre(3, 2, 1, 0));
  queued.set_model_name("b");
  EXPECT_THAT(ListIds(queued), ElementsAre(ids[1], ids[3]));
  queued.add_states(v1::TRAIN_JOB_STATE_RUNNING);
  queued.set_model_name("a");
  EXPECT_THAT(ListIds(queued), ElementsAre(ids[0], ids[2], ids[4]));
  queued.set_model_name("nobody");
  EXPECT_THAT(ListIds(queued), IsEmpty());
}

TEST_F(TrainingTest, AListThatCannotBeGivenSaysWhy) {
  Start();
  for (int i = 0; i < 2; ++i) server_.Create(Held());
  v1::ListTrainJobsRequest request;
  v1::ListTrainJobsResponse page;
  request.set_page_size(1);
  ASSERT_TRUE(List(request, page).ok());
  ASSERT_NE(page.next_page_token(), "");
  v1::ListTrainJobsRequest other = request;
  other.set_page_token(page.next_page_token());
  other.set_model_name("pcb");
  ExpectRefused(List(other, page),
                {StatusCode::INVALID_ARGUMENT, "page_token", "is not a next_page_token"});
  request.set_page_token("20260101-000000-000-00000000");
  ExpectRefused(List(request, page),
                {StatusCode::INVALID_ARGUMENT, "page_token", "is not a next_page_token"});
  v1::ListTrainJobsRequest negative;
  negative.set_page_size(-1);
  ExpectRefused(List(negative, page), {StatusCode::INVALID_ARGUMENT, "page_size", "-1"});
  v1::ListTrainJobsRequest unknown;
  unknown.add_states(static_cast<v1::TrainJobState>(17));
  ExpectRefused(List(unknown, page), {StatusCode::INVALID_ARGUMENT, "states", "17"});
}

TEST_F(TrainingTest, AQueuedJobIsCancelledAndNeverRuns) {
  Start();
  server_.AwaitPhase(server_.Create(Held()), v1::TRAIN_PHASE_TRAINING);
  const std::string id = server_.Create(TrainingServer::Spec());
  v1::TrainJob job;
  ASSERT_TRUE(Cancel(id, job).ok());
  EXPECT_EQ(job.job_id(), id);
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_CANCELLED);
  EXPECT_EQ(job.reason_code(), "CANCELLED_BY_USER");
  EXPECT_EQ(job.attempts(), 0u);
  EXPECT_FALSE(job.has_start_time());
  EXPECT_TRUE(job.has_end_time());
  EXPECT_TRUE(Cancel(id, job).ok()) << "cancelling it again is OK";
}

TEST_F(TrainingTest, ACancelledJobHasStoppedAndGoesOnWhereItWas) {
  Start();
  const std::string id = server_.Create(With(TrainingServer::Spec(), fake::kFakeHoldAt, "2"));
  server_.Await(id, [](const v1::TrainJob& job) { return job.progress().step() == 2; });
  v1::TrainJob job;
  ASSERT_TRUE(Cancel(id, job).ok());
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_CANCELLED);
  EXPECT_EQ(job.reason_code(), "CANCELLED_BY_USER");
  EXPECT_THAT(job.reason(), Not(IsEmpty()));
  EXPECT_TRUE(TrainerLock::Acquire(server_.JobDirectory(id)).ok()) << "its process must be gone";

  fake::Release(server_.JobDirectory(id));
  ASSERT_TRUE(Resume(id, job).ok());
  EXPECT_THAT(job.state(), AnyOf(v1::TRAIN_JOB_STATE_QUEUED, v1::TRAIN_JOB_STATE_RUNNING,
                                 v1::TRAIN_JOB_STATE_SUCCEEDED));
  EXPECT_EQ(job.reason(), "");
  job = server_.AwaitEnd(id);
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(job.attempts(), 2u);
  EXPECT_EQ(fake::ReadText(server_.JobDirectory(id) / fake::kFakeAttempts), "0\n2\n");
}

TEST_F(TrainingTest, ATrainerThatDoesNotListenIsEndedAllTheSame) {
  server_.config.training.jobs.stop_grace = absl::Milliseconds(50);
  Start();
  const std::string id = server_.Create(With(Held(), fake::kFakeDeaf));
  server_.AwaitPhase(id, v1::TRAIN_PHASE_TRAINING);
  v1::TrainJob job;
  ASSERT_TRUE(Cancel(id, job).ok());
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_CANCELLED);
  EXPECT_TRUE(TrainerLock::Acquire(server_.JobDirectory(id)).ok()) << "its process must be gone";
}

TEST_F(TrainingTest, WhatAJobsStateDoesNotAllowIsRefused) {
  Start();
  const std::string done = server_.Create(TrainingServer::Spec());
  server_.AwaitEnd(done);
  const std::string failed =
      server_.Create(With(TrainingServer::Spec(), fake::kFakeError, "NON_FINITE_LOSS"));
  const v1::TrainJob failure = server_.AwaitEnd(failed);
  EXPECT_EQ(failure.state(), v1::TRAIN_JOB_STATE_FAILED);
  EXPECT_EQ(failure.reason_code(), "NON_FINITE_LOSS");
  EXPECT_THAT(failure.reason(), HasSubstr("the label fake.error is set"));
  EXPECT_FALSE(failure.has_result_version());

  v1::TrainJob job;
  ExpectRefused(Cancel(done, job), {StatusCode::FAILED_PRECONDITION, "", "SUCCEEDED"});
  ExpectRefused(Resume(done, job), {StatusCode::FAILED_PRECONDITION, "", "SUCCEEDED"});
  ExpectRefused(Cancel(failed, job), {StatusCode::FAILED_PRECONDITION, "", "FAILED"});
  ASSERT_TRUE(Resume(failed, job).ok()) << "a failed one may be tried again";
  EXPECT_EQ(server_.AwaitEnd(failed).attempts(), 2u);

  const std::string publishing =
      server_.Create(With(TrainingServer::Spec(), fake::kFakeHoldPublishing));
  server_.AwaitPhase(publishing, v1::TRAIN_PHASE_PUBLISHING);
  ExpectRefused(Cancel(publishing, job), {StatusCode::FAILED_PRECONDITION, "", "publish"});
  ASSERT_TRUE(Resume(publishing, job).ok()) << "it is under way, as was wanted";
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_RUNNING);
  EXPECT_EQ(job.attempts(), 1u);
  fake::Release(server_.JobDirectory(publishing));
  EXPECT_EQ(server_.AwaitEnd(publishing).state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
}

TEST_F(TrainingTest, AnUnknownJobIsNotFoundAndTheKnownOnesAreListed) {
  Start();
  const std::string known = server_.Create(Held());
  v1::TrainJob job;
  for (const std::string& id : {std::string("gone"), std::string(), std::string("../models")}) {
    const Refusal refusal = {StatusCode::NOT_FOUND, "job_id", known};
    ExpectRefused(Get(id, job), refusal);
    ExpectRefused(Cancel(id, job), refusal);
    ExpectRefused(Resume(id, job), refusal);
    ExpectRefused(Watch(id), refusal);
  }
}

TEST_F(TrainingTest, EveryWatchSeesTheEndEvenOneThatComesLate) {
  Start();
  const std::string id = server_.Create(Held());
  std::vector<std::future<std::vector<v1::TrainJob>>> watches;
  for (int i = 0; i < 4; ++i) {
    watches.push_back(std::async(std::launch::async, [&] {
      std::vector<v1::TrainJob> jobs;
      EXPECT_TRUE(Watch(id, &jobs).ok());
      return jobs;
    }));
  }
  server_.AwaitPhase(id, v1::TRAIN_PHASE_TRAINING);
  fake::Release(server_.JobDirectory(id));
  for (auto& watch : watches) {
    const std::vector<v1::TrainJob> jobs = watch.get();
    ASSERT_FALSE(jobs.empty());
    EXPECT_EQ(jobs.back().state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
    EXPECT_TRUE(std::is_sorted(jobs.begin(), jobs.end(), [](const auto& a, const auto& b) {
      return a.progress().step() < b.progress().step();
    }));
  }
  std::vector<v1::TrainJob> late;
  const grpc::Status end = Watch(id, &late);
  EXPECT_TRUE(end.ok()) << end.error_message();
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
}

TEST_F(TrainingTest, AWatcherThatReadsSlowlyMissesReportsButNotTheLast) {
  Start();
  constexpr int kSteps = 300;  // each is a change
  const std::string id = server_.Create(With(Held(), fake::kFakeSteps, std::to_string(kSteps)));
  grpc::ClientContext context;
  const auto watch = server_.training->WatchTrainJob(&context, Named<v1::WatchTrainJobRequest>(id));
  v1::WatchTrainJobResponse response;
  ASSERT_TRUE(watch->Read(&response)) << "the first answer comes though nothing happens";
  EXPECT_EQ(response.job().job_id(), id);
  server_.AwaitPhase(id, v1::TRAIN_PHASE_TRAINING);
  fake::Release(server_.JobDirectory(id));
  ASSERT_EQ(server_.AwaitEnd(id).progress().step(), static_cast<uint64_t>(kSteps));

  int reports = 1;
  while (watch->Read(&response)) ++reports;
  const grpc::Status end = watch->Finish();
  EXPECT_TRUE(end.ok()) << end.error_message();
  EXPECT_EQ(response.job().state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
  EXPECT_EQ(response.job().progress().step(), static_cast<uint64_t>(kSteps));
  EXPECT_LT(reports, kSteps / 4);
}

TEST_F(TrainingTest, WatchersThatLeaveMakeRoom) {
  server_.config.training.jobs.max_watchers = 1;
  Start();
  const std::string id = server_.Create(Held());
  {
    grpc::ClientContext context;
    const auto watch =
        server_.training->WatchTrainJob(&context, Named<v1::WatchTrainJobRequest>(id));
    v1::WatchTrainJobResponse response;
    ASSERT_TRUE(watch->Read(&response));
    const grpc::Status second = Watch(id);
    ExpectRefused(second, {StatusCode::RESOURCE_EXHAUSTED, "", "1"});
    EXPECT_EQ(ReasonOf(DetailsOf(second)), "TOO_MANY_WATCHERS");
    EXPECT_TRUE(DetailsOf(second).details_size() > 0);
    EXPECT_GT(Find<google::rpc::RetryInfo>(DetailsOf(second)).retry_delay().seconds(), 0);
    context.TryCancel();
    while (watch->Read(&response)) {
    }
    EXPECT_EQ(watch->Finish().error_code(), StatusCode::CANCELLED);
  }
  fake::Release(server_.JobDirectory(id));
  // The server learns of the first one's end soon, not at once.
  grpc::Status status;
  do {
    status = Watch(id);
  } while (status.error_code() == StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(TrainingTest, AServerThatDrainsSendsWatchersAwayAndTheJobGoesOnLater) {
  Start();
  const std::string id = server_.Create(With(TrainingServer::Spec(), fake::kFakeHoldAt, "1"));
  const std::string waiting = server_.Create(TrainingServer::Spec());
  server_.Await(id, [](const v1::TrainJob& job) { return job.progress().step() == 1; });
  grpc::ClientContext context;
  const auto watch = server_.training->WatchTrainJob(&context, Named<v1::WatchTrainJobRequest>(id));
  v1::WatchTrainJobResponse response;
  ASSERT_TRUE(watch->Read(&response));
  std::thread stopping([this] { server_.server->Stop(); });
  while (watch->Read(&response)) {
  }
  const grpc::Status end = watch->Finish();
  ExpectRefused(end, {StatusCode::UNAVAILABLE, "", "shutting down"});
  EXPECT_EQ(ReasonOf(DetailsOf(end)), "DRAINING");
  v1::TrainJob job;
  EXPECT_EQ(server_.Create(TrainingServer::Spec(), job).error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(Get(id, job).error_code(), StatusCode::UNAVAILABLE);
  stopping.join();
  server_.Stop();

  fake::Release(server_.JobDirectory(id));
  Start();
  job = server_.AwaitEnd(id);
  EXPECT_EQ(job.state(), v1::TRAIN_JOB_STATE_SUCCEEDED) << job.reason();
  EXPECT_EQ(fake::ReadText(server_.JobDirectory(id) / fake::kFakeAttempts), "0\n1\n");
  EXPECT_EQ(server_.AwaitEnd(waiting).state(), v1::TRAIN_JOB_STATE_SUCCEEDED);
}

TEST_F(TrainingTest, TrainingMayBeSwitchedOff) {
  server_.config.training.enabled = false;
  Start();
  v1::TrainJob job;
  v1::ListTrainJobsResponse page;
  EXPECT_EQ(server_.Create(TrainingServer::Spec(), job).error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(List({}, page).error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Get("x", job).error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Watch("x").error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_FALSE(fs::exists(server_.root / "jobs")) << "and its folders are left alone";
}

}  // namespace
}  // namespace proad::server
