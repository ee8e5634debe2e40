#include "server/jobs/scheduled_job.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace proad::server {
namespace {

using enum JobState;

JobRecord RecordIn(JobState state) {
  JobRecord record;
  record.state = state;
  return record;
}

TEST(ScheduledJob, StateChangesOnlyAsTheTableAllows) {
  for (const JobState from : {kQueued, kRunning, kSucceeded, kFailed, kCancelled}) {
    for (const JobState to : {kQueued, kRunning, kSucceeded, kFailed, kCancelled}) {
      ScheduledJob job("id", JobSpec(), RecordIn(from));
      JobRecord next = RecordIn(to);
      next.attempts = 7;
      const absl::Status status = job.Replace(next);
      const bool allowed = from == to || CanMove(from, to);
      EXPECT_EQ(status.ok(), allowed) << NameOf(from) << " -> " << NameOf(to) << ": " << status;
      EXPECT_EQ(job.state(), allowed ? to : from);
      EXPECT_EQ(job.record().attempts, allowed ? 7 : 0) << "a refused record changes nothing";
    }
  }
}

TEST(ScheduledJob, ViewAddsTheTimeOfTheRunningAttempt) {
  JobRecord record = RecordIn(kRunning);
  record.attempts = 2;
  record.ran = absl::Seconds(5);
  record.updated = record.attempt_started = absl::UnixEpoch() + absl::Seconds(100);
  ScheduledJob job("id", JobSpec(), record);
  EXPECT_EQ(job.View().progress->elapsed, absl::Seconds(5));
  job.progress.emplace().time = absl::UnixEpoch() + absl::Seconds(103);
  EXPECT_EQ(job.View().progress->elapsed, absl::Seconds(8));
  EXPECT_EQ(job.View().updated, absl::UnixEpoch() + absl::Seconds(103));
}

TEST(ScheduledJob, ViewShowsAQueuePositionOnlyWhileQueued) {
  ScheduledJob job("id", JobSpec(), RecordIn(kQueued));
  job.queue_position = 3;
  EXPECT_EQ(job.View().queue_position, 3);
  ASSERT_TRUE(job.Replace(RecordIn(kCancelled)).ok());
  EXPECT_EQ(job.View().queue_position, 0);
}

}  // namespace
}  // namespace proad::server
