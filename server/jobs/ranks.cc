#include "server/jobs/ranks.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/util/quote.h"

extern char** environ;

namespace proad::server {
namespace {

using Variable = absl::FunctionRef<const char*(const char* name)>;

absl::StatusOr<int> ReadNumber(Variable variable, const char* name, int least, int most) {
  const char* const text = variable(name);
  int number = 0;
  if (text != nullptr && absl::SimpleAtoi(text, &number) && number >= least && number <= most) {
    return number;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the environment has RANK, so ", name, " must be a number from ", least, " to ",
                   most, "; it ", text == nullptr ? "is not set" : "is " + Quote(text)));
}

// The command line of this process.
std::vector<std::string> OwnArguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!text.empty() && text.back() == '\0') text.pop_back();
  return absl::StrSplit(text, '\0');
}

std::vector<std::string> EnvironmentOf(const model::Membership& membership, int threads) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const absl::string_view name = text.substr(0, text.find('='));
    if (absl::c_linear_search(kRankVariables, name) || name == "OMP_NUM_THREADS") continue;
    environment.emplace_back(text);
  }
  environment.push_back(absl::StrCat("OMP_NUM_THREADS=", threads));
  environment.push_back(absl::StrCat("RANK=", membership.rank));
  environment.push_back(absl::StrCat("LOCAL_RANK=", membership.local_rank));
  environment.push_back(absl::StrCat("WORLD_SIZE=", membership.size));
  environment.push_back(absl::StrCat("MASTER_ADDR=", membership.address));
  environment.push_back(absl::StrCat("MASTER_PORT=", membership.port));
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Starts a rank in the session of this process, so that a SIGKILL to the session ends it too, with
// no open descriptors but the standard streams.
absl::StatusOr<pid_t> StartRank(const model::Membership& membership, int threads) {
  std::vector<std::string> arguments = OwnArguments();
  arguments.push_back("--parent");
  arguments.push_back(absl::StrCat(getpid()));
  std::vector<std::string> environment = EnvironmentOf(membership, threads);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  pid_t pid = 0;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr,
                                Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return pid;
  return absl::InternalError(absl::StrCat("cannot start process ", membership.rank,
                                          " of this training: ", strerror(error)));
}

std::string Describe(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("was killed by signal ", WTERMSIG(status), " (",
                        strsignal(WTERMSIG(status)), ")");
  }
  return absl::StrCat("ended with exit code ", WEXITSTATUS(status));
}

}  // namespace

absl::StatusOr<std::optional<model::Membership>> ReadMembership(Variable variable) {
  if (variable("RANK") == nullptr) return std::nullopt;
  constexpr int kMostProcesses = 64;
  model::Membership membership;
  const auto size = ReadNumber(variable, "WORLD_SIZE", 1, kMostProcesses);
  if (!size.ok()) return size.status();
  const auto rank = ReadNumber(variable, "RANK", 0, *size - 1);
  if (!rank.ok()) return rank.status();
  const auto port = ReadNumber(variable, "MASTER_PORT", 1, 65535);
  if (!port.ok()) return port.status();
  if (variable("LOCAL_RANK") != nullptr) {
    const auto local_rank = ReadNumber(variable, "LOCAL_RANK", 0, *size - 1);
    if (!local_rank.ok()) return local_rank.status();
    membership.local_rank = *local_rank;
  }
  const char* const address = variable("MASTER_ADDR");
  if (address == nullptr || *address == '\0') {
    return absl::InvalidArgumentError(
        "the environment has RANK, so MASTER_ADDR must name the machine of rank 0; it is not set");
  }
  membership.size = *size;
  membership.rank = *rank;
  membership.port = *port;
  membership.address = address;
  return membership;
}

absl::StatusOr<std::unique_ptr<LocalRanks>> LocalRanks::Start(const model::Membership& membership,
                                                              int threads, OnEnd on_end) {
  std::unique_ptr<LocalRanks> ranks(new LocalRanks);
  model::Membership other = membership;
  for (other.rank = 1; other.rank < membership.size; ++other.rank) {
    other.local_rank = other.rank;
    const absl::StatusOr<pid_t> pid = StartRank(other, threads);
    if (!pid.ok()) return pid.status();
    MutexLock lock(ranks->mutex_);
    ranks->alive_[*pid] = other.rank;
  }
  ranks->watch_ =
      std::thread([ranks = ranks.get(), on_end = std::move(on_end)] { ranks->Watch(on_end); });
  return ranks;
}

LocalRanks::~LocalRanks() {
  {
    MutexLock lock(mutex_);
    killed_ = true;
    for (const auto& [pid, rank] : alive_) kill(pid, SIGKILL);
  }
  if (watch_.joinable()) watch_.join();
}

void LocalRanks::Await(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  MutexLock lock(mutex_);
  while (!alive_.empty() && absl::Now() < deadline) ended_.WaitUntil(mutex_, deadline);
}

void LocalRanks::Watch(const OnEnd& on_end) {
  for (;;) {
    // WNOWAIT: until the pid is removed from alive_, the system must not give it to another
    // process.
    siginfo_t info = {};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0) {
      if (errno == EINTR) continue;
      return;  // no rank is left
    }
    int rank = 0;
    bool report = false;
    {
      MutexLock lock(mutex_);
      rank = alive_[info.si_pid];
      report = !killed_;
      alive_.erase(info.si_pid);
      ended_.NotifyAll();
    }
    int status = 0;
    waitpid(info.si_pid, &status, 0);
    if (report) on_end(rank, WIFEXITED(status) ? WEXITSTATUS(status) : -1, Describe(status));
  }
}

bool EndWithParent(pid_t parent) {
  return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent;
}

}  // namespace proad::server
