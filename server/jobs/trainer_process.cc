#include "server/jobs/trainer_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/jobs/job_files.h"
#include "server/jobs/ranks.h"

extern char** environ;

namespace proad::server {
namespace {

struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// Whether a later call may succeed although nothing else has changed.
bool IsTemporary(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOLCK || error == EIO ||
         error == EINTR;
}

// The server's environment with OMP_NUM_THREADS, which LibTorch reads before main, and without the
// variables that would make the trainer one of several processes.
std::vector<std::string> Environment(int threads) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const absl::string_view name = text.substr(0, text.find('='));
    if (name == "OMP_NUM_THREADS" || absl::c_linear_search(kRankVariables, name)) continue;
    environment.emplace_back(text);
  }
  environment.push_back(absl::StrCat("OMP_NUM_THREADS=", threads));
  return environment;
}

std::vector<std::string> Arguments(const TrainerOptions& options,
                                   const std::filesystem::path& job) {
  return {options.program.string(),
          "train",
          "--job",
          job.string(),
          "--store",
          options.store.string(),
          "--nice",
          absl::StrCat(options.nice),
          "--feature-memory",
          absl::StrCat(options.feature_memory_bytes),
          "--memory-limit",
          absl::StrCat(options.memory_limit_bytes),
          "--checkpoint-seconds",
          absl::StrCat(absl::ToDoubleSeconds(options.checkpoint_interval)),
          "--max-image-bytes",
          absl::StrCat(options.image.max_bytes),
          "--max-image-pixels",
          absl::StrCat(options.image.max_pixels),
          "--max-image-side",
          absl::StrCat(options.image.max_side)};
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Starts a process in a session of its own; of this process it inherits only the working directory
// and the user.
class SpawnSettings {
 public:
  explicit SpawnSettings(const std::filesystem::path& log) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes_);
    // The server blocks signals, and a process inherits the mask.
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  const posix_spawn_file_actions_t* actions() const { return &actions_; }
  const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::string Describe(int status) {
  if (WIFSIGNALED(status)) {
    return absl::StrCat("it was killed by signal ", WTERMSIG(status), " (",
                        strsignal(WTERMSIG(status)), ")");
  }
  return absl::StrCat("it ended with exit code ", WEXITSTATUS(status));
}

}  // namespace

// ---------------------------------------------------------------- the lock

absl::StatusOr<TrainerLock> TrainerLock::Acquire(const std::filesystem::path& job) {
  const std::filesystem::path path = job / kLockFile;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) {
    return absl::InternalError(absl::StrCat("cannot open ", path.string(), ": ", strerror(errno)));
  }
  struct flock lock = WholeFile();
  if (fcntl(fd, F_SETLK, &lock) != 0) {
    const int error = errno;
    close(fd);
    if (error == EACCES || error == EAGAIN) {
      return absl::FailedPreconditionError(
          absl::StrCat("process ", Holder(job), " already trains the job ", job.string()));
    }
    return absl::InternalError(absl::StrCat("cannot lock ", path.string(), ": ", strerror(error)));
  }
  // For people; Holder queries the kernel instead.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    std::perror(path.c_str());
  }
  return TrainerLock(fd);
}

TrainerLock::TrainerLock(TrainerLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

TrainerLock::~TrainerLock() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<pid_t> TrainerLock::FindHolder(const std::filesystem::path& job) {
  const std::filesystem::path path = job / kLockFile;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  const int open_error = fd < 0 ? errno : 0;
  struct flock lock = WholeFile();
  const int lock_error = fd >= 0 && fcntl(fd, F_GETLK, &lock) != 0 ? errno : 0;
  if (fd >= 0) close(fd);
  const int error = open_error != 0 ? open_error : lock_error;
  if (IsTemporary(error)) {
    return absl::InternalError(
        absl::StrCat("cannot query the lock ", path.string(), ": ", strerror(error)));
  }
  return error == 0 && lock.l_type != F_UNLCK ? lock.l_pid : 0;
}

pid_t TrainerLock::Holder(const std::filesystem::path& job) { return FindHolder(job).value_or(0); }

// ---------------------------------------------------------------- the process

int64_t TrainerMemoryLimit(const MemoryRoom& room, int64_t server_memory, int slots) {
  constexpr uint64_t kUnknown = std::numeric_limits<int64_t>::max() / 2;
  if (room.free >= kUnknown) return 0;
  const auto free = static_cast<int64_t>(room.free);
  const auto growth = std::max<int64_t>(server_memory - static_cast<int64_t>(room.reserved), 0);
  return std::max<int64_t>(std::max(free - growth, free / 2) / slots, 1);
}

absl::Status TrainerProcess::Start(const TrainerOptions& options) {
  ending_.clear();
  std::vector<std::string> arguments = Arguments(options, job_);
  std::vector<std::string> environment = Environment(options.threads);
  const SpawnSettings settings(job_ / kLogFile);
  const int error =
      posix_spawn(&child_, options.program.c_str(), settings.actions(), settings.attributes(),
                  Pointers(arguments).data(), Pointers(environment).data());
  if (error == 0) return absl::OkStatus();
  child_ = 0;
  return absl::InternalError(absl::StrCat("cannot start ", options.program.string(), " for ",
                                          job_.string(), ": ", strerror(error)));
}

bool TrainerProcess::IsAlive() {
  if (child_ > 0) {
    int status = 0;
    const pid_t ended = waitpid(child_, &status, WNOHANG);
    if (ended == 0) return true;
    if (ended == child_) ending_ = Describe(status);
    child_ = 0;
  }
  const absl::StatusOr<pid_t> holder = TrainerLock::FindHolder(job_);
  return !holder.ok() || *holder != 0;
}

void TrainerProcess::Terminate() { Signal(SIGTERM); }

void TrainerProcess::Kill() { Signal(SIGKILL); }

void TrainerProcess::Signal(int signal) {
  // The system does not reuse the id of a child until its exit status is collected.
  if (child_ > 0) {
    if (signal == SIGKILL) kill(-child_, signal);  // its process group, which is its session
    kill(child_, signal);
  }
  const pid_t holder = TrainerLock::Holder(job_);
  if (holder <= 0 || holder == child_) return;
  // The system may reuse the process id between the query and the signal. A pidfd refers to the
  // process that had the id when it was opened; the second query shows that this is the holder.
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, holder, 0));
  if (TrainerLock::Holder(job_) == holder) {
    if (signal == SIGKILL) kill(-holder, signal);
    if (pidfd < 0 || syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0) {
      kill(holder, signal);
    }
  }
  if (pidfd >= 0) close(pidfd);
}

std::string LogTail(const std::filesystem::path& job, size_t max_bytes) {
  std::ifstream in(job / kLogFile, std::ios::binary | std::ios::ate);
  if (!in) return "";
  const auto size = static_cast<size_t>(std::max<std::streamoff>(in.tellg(), 0));
  const size_t from = size - std::min(size, max_bytes);
  std::string text(size - from, '\0');
  in.seekg(static_cast<std::streamoff>(from));
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  if (from > 0) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  return std::string(absl::StripAsciiWhitespace(text));
}

}  // namespace proad::server
