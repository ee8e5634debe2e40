#include "server/jobs/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <string>

#include "absl/strings/str_cat.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kRole[] = "RANKS_TEST_ROLE";  // what a rank does

bool Is(const char* variable, const std::string& value) {
  const char* const found = getenv(variable);
  return found != nullptr && value == found;
}

// LocalRanks starts this program again: then it is a rank, and does this before main.
[[maybe_unused]] const bool kRank = [] {
  if (getenv("RANK") == nullptr) return false;
  const int rank = atoi(getenv("RANK"));
  if (Is(kRole, "wait")) {
    while (true) pause();
  }
  if (Is(kRole, "die")) raise(SIGKILL);
  if (Is(kRole, "parent")) _exit(EndWithParent(getppid()) && !EndWithParent(getpid()) ? 0 : 1);
  const bool right = Is("WORLD_SIZE", "3") && Is("LOCAL_RANK", absl::StrCat(rank)) &&
                     Is("MASTER_ADDR", "127.0.0.1") && Is("MASTER_PORT", "1234") &&
                     Is("OMP_NUM_THREADS", "5");
  _exit(right ? 10 + rank : 1);
}();

using Variables = std::map<std::string, std::string>;

absl::StatusOr<std::optional<model::Membership>> Read(const Variables& variables) {
  return ReadMembership([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables With(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}

const Variables kWhole = {
    {"RANK", "2"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "train-0.train"}, {"MASTER_PORT", "29500"}};

TEST(Membership, IsReadFromTheEnvironment) {
  const auto read = Read(kWhole);
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_TRUE(read->has_value());
  EXPECT_EQ((*read)->rank, 2);
  EXPECT_EQ((*read)->size, 4);
  EXPECT_EQ((*read)->local_rank, 0) << "a machine of its own";
  EXPECT_EQ((*read)->address, "train-0.train");
  EXPECT_EQ((*read)->port, 29500);
  EXPECT_EQ((*Read(With(kWhole, "LOCAL_RANK", "1")))->local_rank, 1);
}

TEST(Membership, IsAbsentWithoutRank) {
  const auto read = Read({{"WORLD_SIZE", "4"}, {"MASTER_PORT", "x"}});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->has_value());
}

TEST(Membership, MissingOrInvalidVariableIsNamed) {
  for (const auto& [name, value] : Variables{{"RANK", "4"},
                                             {"WORLD_SIZE", "0"},
                                             {"WORLD_SIZE", "65"},
                                             {"MASTER_PORT", "0"},
                                             {"MASTER_PORT", "65536"},
                                             {"MASTER_ADDR", ""},
                                             {"LOCAL_RANK", "-1"},
                                             {"RANK", "first"}}) {
    const auto read = Read(With(kWhole, name, value));
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << name << "=" << value;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(name));
  }
  for (const char* name : {"WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
    Variables variables = kWhole;
    variables.erase(name);
    EXPECT_THAT(std::string(Read(variables).status().message()),
                AllOf(HasSubstr(name), HasSubstr("not set")));
  }
}

class LocalRanksTest : public ::testing::Test {
 protected:
  ~LocalRanksTest() override { unsetenv(kRole); }

  std::unique_ptr<LocalRanks> Start(const char* role) {
    setenv(kRole, role, /*replace=*/1);
    auto ranks = LocalRanks::Start({.size = 3, .port = 1234}, /*threads=*/5,
                                   [this](int rank, int exit_code, const std::string& words) {
                                     ends_[rank] = exit_code;
                                     words_[rank] = words;
                                   });
    EXPECT_TRUE(ranks.ok()) << ranks.status();
    return *std::move(ranks);
  }

  // Of one object's thread, which ends before they are looked at.
  std::map<int, int> ends_;
  std::map<int, std::string> words_;
};

TEST_F(LocalRanksTest, LearnTheirRankAndReportTheirEnd) {
  auto ranks = Start("look");
  ranks->Await(absl::InfiniteDuration());
  ranks.reset();
  EXPECT_THAT(ends_, UnorderedElementsAre(Pair(1, 11), Pair(2, 12)));
  EXPECT_EQ(words_[2], "ended with exit code 12");
}

TEST_F(LocalRanksTest, ReportTheSignalOfAKilledRank) {
  auto ranks = Start("die");
  ranks->Await(absl::InfiniteDuration());
  ranks.reset();
  EXPECT_THAT(ends_, UnorderedElementsAre(Pair(1, -1), Pair(2, -1)));
  EXPECT_THAT(words_[1], HasSubstr("signal 9"));
}

TEST_F(LocalRanksTest, AreKilledByTheDestructorWithoutAReport) {
  auto ranks = Start("wait");
  ranks->Await(absl::ZeroDuration());
  ranks.reset();
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "one was left";
  EXPECT_THAT(ends_, IsEmpty()) << "the destructor does not report";
}

TEST_F(LocalRanksTest, DetectThatTheirParentHasEnded) {
  auto ranks = Start("parent");
  ranks->Await(absl::InfiniteDuration());
  ranks.reset();
  EXPECT_THAT(ends_, UnorderedElementsAre(Pair(1, 0), Pair(2, 0)));
}

}  // namespace
}  // namespace proad::server
