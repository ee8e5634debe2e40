#include "client/cli/trainer_program.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

extern char** environ;

namespace proad::client {
namespace {

namespace fs = std::filesystem;

constexpr char kName[] = "proad-trainer";

bool IsProgram(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error) && access(path.c_str(), X_OK) == 0;
}

// Returns the argument vector for execv. It points into `program` and `arguments`.
std::vector<char*> ToArgv(const fs::path& program, const std::vector<std::string>& arguments) {
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  return argv;
}

// Reads until the other side closes. Returns false when the deadline passes first.
bool ReadAll(int descriptor, absl::Time deadline, std::string& text) {
  char buffer[4096];
  for (;;) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd wanted = {descriptor, POLLIN, 0};
    const int ready = poll(&wanted, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    const ssize_t got = read(descriptor, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return true;
    text.append(buffer, static_cast<size_t>(got));
  }
}

int ExitCodeOf(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

absl::StatusOr<fs::path> FindTrainer() {
  if (const char* const chosen = std::getenv("PROAD_TRAINER"); chosen && *chosen) {
    if (IsProgram(chosen)) return fs::path(chosen);
    return absl::NotFoundError(
        absl::StrCat("PROAD_TRAINER is set to ", chosen, ", which is not an executable file"));
  }
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error).parent_path();
  std::vector<fs::path> candidates = {own / kName, own.parent_path() / "server" / kName};
  const char* const path = std::getenv("PATH");
  for (const auto& folder : absl::StrSplit(path ? path : "", ':', absl::SkipEmpty())) {
    candidates.push_back(fs::path(std::string(folder)) / kName);
  }
  for (const fs::path& candidate : candidates) {
    if (IsProgram(candidate)) return candidate;
  }
  return absl::NotFoundError(
      absl::StrCat(kName, " was not found in ", candidates[0].parent_path().string(), ", ",
                   candidates[1].parent_path().string(),
                   " and PATH: install it, or set PROAD_TRAINER to its path"));
}

absl::Status ExecuteTrainer(const fs::path& trainer, const std::vector<std::string>& arguments) {
  execv(trainer.c_str(), ToArgv(trainer, arguments).data());
  return absl::InternalError(
      absl::StrCat("cannot run ", trainer.string(), ": ", std::strerror(errno)));
}

absl::StatusOr<Output> RunTrainer(const fs::path& trainer,
                                  const std::vector<std::string>& arguments,
                                  absl::Duration timeout) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return absl::InternalError(std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  pid_t child = 0;
  const int failed = posix_spawn(&child, trainer.c_str(), &actions, nullptr,
                                 ToArgv(trainer, arguments).data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (failed != 0) {
    close(ends[0]);
    return absl::InternalError(
        absl::StrCat("cannot run ", trainer.string(), ": ", std::strerror(failed)));
  }
  Output output;
  const bool ended = ReadAll(ends[0], absl::Now() + timeout, output.text);
  close(ends[0]);
  if (!ended) kill(child, SIGKILL);
  output.exit_code = ExitCodeOf(child);
  if (ended) return output;
  return absl::DeadlineExceededError(
      absl::StrCat(trainer.string(), " did not answer within ", absl::FormatDuration(timeout)));
}

}  // namespace proad::client
