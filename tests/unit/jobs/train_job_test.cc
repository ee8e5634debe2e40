#include "server/jobs/train_job.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace proad::server {
namespace {

using enum JobState;

const std::vector<JobState> kAll = {kQueued, kRunning, kSucceeded, kFailed, kCancelled};

TEST(TrainJob, TableAllowsTheDocumentedTransitionsOnly) {
  const std::set<std::pair<JobState, JobState>> allowed = {
      {kQueued, kRunning},    {kQueued, kCancelled}, {kQueued, kFailed},  // its files are damaged
      {kRunning, kSucceeded}, {kRunning, kFailed},   {kRunning, kCancelled},
      {kRunning, kQueued},                            // its trainer crashed and it has no slot
      {kFailed, kQueued},     {kCancelled, kQueued},  // resumed
  };
  for (const JobState from : kAll) {
    for (const JobState to : kAll) {
      EXPECT_EQ(CanMove(from, to), allowed.contains({from, to}))
          << NameOf(from) << " -> " << NameOf(to);
    }
  }
}

TEST(TrainJob, QueuedAndRunningJobsHaveNotEnded) {
  for (const JobState state : kAll) {
    EXPECT_EQ(HasEnded(state), state != kQueued && state != kRunning) << NameOf(state);
  }
}

TEST(TrainJob, StatesHaveTheNamesOfTheProto) {
  std::vector<std::string> names;
  for (const JobState state : kAll) names.push_back(NameOf(state));
  EXPECT_EQ(names,
            (std::vector<std::string>{"QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}));
}

}  // namespace
}  // namespace proad::server
