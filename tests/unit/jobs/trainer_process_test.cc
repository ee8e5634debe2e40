// TrainerProcess with the fake trainer (tests/support/fake_trainer.cc).
#include "server/jobs/trainer_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/jobs/job_files.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/paths.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;
using namespace proad::testing;  // NOLINT: the labels
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class TrainerProcessTest : public ::testing::Test {
 protected:
  ~TrainerProcessTest() override {
    TrainerProcess rest(job_.path());
    rest.Kill();
    AwaitEnd(rest);
  }

  void WriteJob(const std::map<std::string, std::string>& labels) {
    JobSpec spec;
    spec.train.model_name = "m";
    spec.labels = labels;
    ASSERT_TRUE(WriteSpec(job_.path(), spec).ok());
  }

  TrainerOptions Options() const {
    return {.program = proad::testing::BuildFolder() / "tests/unit/fake_trainer",
            .store = job_ / "store",
            .threads = 3,
            .memory_limit_bytes = 123456};
  }

  void AwaitEnd(TrainerProcess& process) const {
    Await("exit of the trainer", [&] { return !process.IsAlive(); });
  }
  // A process takes its lock a little later than Start returns.
  pid_t AwaitLock() const {
    Await("lock of the trainer", [&] { return TrainerLock::Holder(job_.path()) != 0; });
    return TrainerLock::Holder(job_.path());
  }
  // Polls, since a process gives no notification.
  void Await(const char* what, const std::function<bool()>& condition) const {
    const absl::Time deadline = absl::Now() + absl::Minutes(2);
    while (!condition()) {
      ASSERT_LT(absl::Now(), deadline) << "no " << what << " within two minutes";
      usleep(1000);
    }
  }

  const TempDirectory job_;
};

TEST_F(TrainerProcessTest, ExitStatusIsCollected) {
  WriteJob({});
  TrainerProcess process(job_.path());
  EXPECT_FALSE(process.IsAlive());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitEnd(process);
  EXPECT_EQ(process.ending(), "it ended with exit code 0");
  EXPECT_TRUE(ReadOutcome(job_.path()).ok());
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "no exit status is left to collect";
}

TEST_F(TrainerProcessTest, InheritsNoSessionDescriptorsOrSignalsOfTheServer) {
  WriteJob({});
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &signals, nullptr), 0);  // like proad-server
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);  // like a connection of a client
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitEnd(process);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  EXPECT_THAT(
      ReadText(job_ / kFakeStart),
      AllOf(HasSubstr("own_session 1\n"), HasSubstr("threads 3\n"),
            HasSubstr("memory_limit 123456\n"), HasSubstr("stdin /dev/null\nstdout /dev/null\n"),
            HasSubstr("stderr " + (job_ / kLogFile).string() + "\n"),
            HasSubstr("sigterm_blocked 0\n"), Not(HasSubstr("open pipe:"))));
}

TEST_F(TrainerProcessTest, IsFoundByItsLock) {
  WriteJob({{kFakeHoldAt, "1"}});
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  const pid_t holder = AwaitLock();

  TrainerProcess other(job_.path());
  EXPECT_TRUE(other.IsAlive());
  Release(job_.path());
  AwaitEnd(process);
  EXPECT_FALSE(other.IsAlive());
  EXPECT_EQ(other.ending(), "") << "only the parent learns how a process ended";
  EXPECT_EQ(ReadText(job_ / kLockFile), std::to_string(holder) + "\n");
}

TEST_F(TrainerProcessTest, FoundTrainerCountsAsAliveWhileTheSystemCannotTell) {
  WriteJob({{kFakeHoldAt, "1"}});
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitLock();
  TrainerProcess found(job_.path());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool alive = found.IsAlive();
  const absl::Status status = TrainerLock::FindHolder(job_.path()).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(alive);
  EXPECT_THAT(std::string(status.message()), HasSubstr("Too many open files"));
  Release(job_.path());
  AwaitEnd(process);
  EXPECT_FALSE(found.IsAlive());
}

TEST_F(TrainerProcessTest, SecondTrainerOfAJobExitsAtOnce) {
  WriteJob({{kFakeHoldAt, "1"}});
  TrainerProcess first(job_.path());
  ASSERT_TRUE(first.Start(Options()).ok());
  const pid_t holder = AwaitLock();

  TrainerProcess second(job_.path());
  ASSERT_TRUE(second.Start(Options()).ok());
  Await("exit of the second trainer", [&] {
    EXPECT_TRUE(second.IsAlive()) << "the first one holds the lock";
    return !second.ending().empty();
  });
  EXPECT_EQ(second.ending(), "it ended with exit code 76");
  EXPECT_EQ(TrainerLock::Holder(job_.path()), holder);
  Release(job_.path());
  AwaitEnd(first);
  EXPECT_EQ(first.ending(), "it ended with exit code 0");
}

TEST(TrainerMemoryLimit, IsAnEqualShareOfWhatTheServerDoesNotNeed) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  EXPECT_EQ(TrainerMemoryLimit({.free = 8 * kGiB}, 2 * kGiB, 1), 6 * kGiB);
  EXPECT_EQ(TrainerMemoryLimit({.free = 8 * kGiB}, 2 * kGiB, 3), 2 * kGiB);
  EXPECT_EQ(TrainerMemoryLimit({.free = 3 * kGiB}, 2 * kGiB, 1), 3 * kGiB / 2) << "half of it";
  EXPECT_EQ(TrainerMemoryLimit({.reserved = kGiB, .free = 8 * kGiB}, 3 * kGiB, 1), 6 * kGiB);
  EXPECT_EQ(TrainerMemoryLimit({.reserved = 4 * kGiB, .free = 8 * kGiB}, 3 * kGiB, 1), 8 * kGiB);
  EXPECT_EQ(TrainerMemoryLimit({.free = 0}, 2 * kGiB, 1), 1) << "a limit, not none";
  EXPECT_EQ(TrainerMemoryLimit({.free = std::numeric_limits<uint64_t>::max() / 2}, kGiB, 1), 0)
      << "unknown";
}

TEST_F(TrainerProcessTest, SavesItsStateAndExitsOnSigterm) {
  WriteJob({{kFakeHoldAt, "2"}});
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitLock();
  // Without its handler yet, the trainer is ended by the signal.
  process.Terminate();
  AwaitEnd(process);
  EXPECT_FALSE(ReadOutcome(job_.path()).ok());
  EXPECT_THAT(process.ending(), ::testing::AnyOf("it ended with exit code 75",
                                                 "it was killed by signal 15 (Terminated)"));
}

TEST_F(TrainerProcessTest, FoundTrainerCanBeKilled) {
  WriteJob({{kFakeHoldAt, "0"}, {kFakeDeaf, ""}});
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitLock();
  TrainerProcess found(job_.path());
  found.Kill();
  AwaitEnd(found);
  AwaitEnd(process);
  EXPECT_EQ(process.ending(), "it was killed by signal 9 (Killed)");
  found.Kill();  // has no effect
}

TEST_F(TrainerProcessTest, MissingProgramIsNamed) {
  WriteJob({});
  TrainerOptions options = Options();
  options.program = "/no/such/trainer";
  TrainerProcess process(job_.path());
  const absl::Status status = process.Start(options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/no/such/trainer"), HasSubstr("No such file")));
  EXPECT_FALSE(process.IsAlive());
}

TEST_F(TrainerProcessTest, LogTailHasTheLinesOfTheLastAttempt) {
  WriteText(job_ / kLogFile, "an earlier attempt\n");
  WriteJob({{kFakeExit, "5"}});
  TrainerProcess process(job_.path());
  ASSERT_TRUE(process.Start(Options()).ok());
  AwaitEnd(process);
  EXPECT_EQ(process.ending(), "it ended with exit code 5");
  EXPECT_EQ(LogTail(job_.path(), 1000), kFakeLogText);

  WriteText(job_ / kLogFile, "first line\nsecond line\nthird line\n");
  EXPECT_EQ(LogTail(job_.path(), 25), "second line\nthird line") << "complete lines only";
  EXPECT_EQ(LogTail(job_ / "none", 25), "");
}

}  // namespace
}  // namespace proad::server
