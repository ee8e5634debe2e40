#include "server/jobs/job_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "server/telemetry/log.h"
#include "server/util/exception_status.h"
#include "server/util/file_errors.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr char kStaging[] = ".staging-";
constexpr char kRemoved[] = ".removed-";
constexpr char kTemporary[] = ".";  // files of AtomicFile in a job's directory
constexpr char kStoreLock[] = ".lock";

// An id is the time of creation in UTC and eight random digits. "-" replaces the "." before the
// milliseconds, since some tools treat "." in a name as the start of an extension.
constexpr char kIdFormat[] = "%E4Y%m%d-%H%M%E3S";
constexpr absl::string_view kIdTime = "00000000-000000-000";

// Whether NewId could have made the name. Other entries, for example "lost+found", are not jobs.
bool IsId(const std::string& name) {
  constexpr absl::string_view kPattern = "00000000-000000-000-ffffffff";
  return name.size() == kPattern.size() &&
         std::equal(name.begin(), name.end(), kPattern.begin(), [](char c, char pattern) {
           if (pattern == '-') return c == '-';
           return absl::ascii_isdigit(c) || (pattern == 'f' && c >= 'a' && c <= 'f');
         });
}

bool StartsWith(const fs::path& path, const char* prefix) {
  return absl::StartsWith(path.filename().string(), prefix);
}

// Removes temporary files of AtomicFile, which remain when its process is killed.
void RemoveTemporaries(const fs::path& job) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(job, ignored)) {
    if (StartsWith(entry.path(), kTemporary)) fs::remove(entry.path(), ignored);
  }
}

absl::StatusOr<std::vector<fs::path>> Entries(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    entries.push_back(it->path());
  }
  if (error) return FileFailed(directory, "read", error.value());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> JobStore::Open(const fs::path& directory) {
  const fs::path root = fs::absolute(directory).lexically_normal();
  std::error_code error;
  fs::create_directories(root, error);
  if (error) return FileFailed(root, "create the job directory", error.value());
  const fs::path path = root / kStoreLock;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return FileFailed(path, "open", errno);
  // On a file system without locks the store works too, without protection against a second server.
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(fd);
    return absl::FailedPreconditionError(
        absl::StrCat("another server uses the job directory ", root.string()));
  }
  return std::unique_ptr<JobStore>(new JobStore(root, fd));
}

JobStore::~JobStore() { close(lock_); }

absl::StatusOr<std::vector<StoredJob>> JobStore::Load() {
  const auto entries = Entries(root_);
  if (!entries.ok()) return entries.status();
  std::vector<StoredJob> jobs;
  for (const fs::path& entry : *entries) {
    std::error_code ignored;
    if (StartsWith(entry, kStaging)) {
      fs::remove_all(entry, ignored);
    } else if (IsId(entry.filename().string()) && fs::is_directory(entry, ignored)) {
      RemoveTemporaries(entry);
      jobs.push_back({entry.filename().string(), ReadSpec(entry), ReadRecord(entry)});
      const auto& record = jobs.back().record;
      if (record.ok()) last_id_ = std::max(last_id_, record->created);
    }
  }
  return jobs;
}

absl::StatusOr<std::string> JobStore::Create(const JobSpec& spec, JobRecord& record) {
  const std::string id = NewId(record.created);
  const fs::path staging = root_ / model::UniqueName(kStaging);
  const fs::path directory = Directory(id);
  absl::Status status;
  bool renamed = false;
  try {
    std::error_code error;
    fs::create_directory(staging, error);
    if (error) throw model::FileError(staging, "create", error.value());
    status = WriteSpec(staging, spec);
    if (status.ok()) status = WriteRecord(staging, record);
    if (status.ok()) {
      fs::rename(staging, directory, error);
      if (error) throw model::FileError(directory, "rename into place", error.value());
      renamed = true;
      model::FlushToDisk(root_);
      return id;
    }
  } catch (...) {
    status = StatusOfCurrentException();
  }
  std::error_code ignored;
  fs::remove_all(staging, ignored);
  if (renamed) fs::remove_all(directory, ignored);
  return status;
}

std::string JobStore::NewId(absl::Time& created) {
  // Later than all other ids, even when the clock was set back.
  created = std::max(absl::FromUnixMillis(absl::ToUnixMillis(absl::Now())),
                     last_id_ + absl::Milliseconds(1));
  last_id_ = created;
  const std::string time = absl::FormatTime(kIdFormat, created, absl::UTCTimeZone());
  return absl::StrReplaceAll(model::UniqueName(time + "-").substr(0, time.size() + 9),
                             {{".", "-"}});
}

absl::Status JobStore::Remove(const std::string& id) { return Hide(Directory(id)); }

absl::Status JobStore::RemoveWork(const std::string& id) {
  return Hide(Directory(id) / kWorkDirectory);
}

absl::Status JobStore::Hide(const fs::path& path) {
  std::error_code error;
  fs::rename(path, root_ / model::UniqueName(kRemoved), error);
  if (!error || error == std::errc::no_such_file_or_directory) return absl::OkStatus();
  return FileFailed(path, "remove", error.value());
}

absl::Status JobStore::RemoveExitFiles(const std::string& id) {
  try {
    for (const char* name : {kErrorFile, kResultFile}) {
      const fs::path path = Directory(id) / name;
      std::error_code error;
      fs::remove(path, error);
      if (error) throw model::FileError(path, "remove", error.value());
    }
    model::FlushToDisk(Directory(id));
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

void JobStore::DeleteRemoved() const {
  const auto entries = Entries(root_);
  if (!entries.ok()) return;
  for (const fs::path& entry : *entries) {
    if (!StartsWith(entry, kRemoved)) continue;
    std::error_code error;
    fs::remove_all(entry, error);
    if (error) {
      Log(LogLevel::kWarning, "cannot delete the files of a removed job",
          {{"path", entry.string()}, {"error", error.message()}});
    }
  }
}

absl::Time TimeOfJobId(const std::string& id) {
  std::string time = id.substr(0, kIdTime.size());
  if (IsId(id)) time[kIdTime.size() - 4] = '.';
  absl::Time parsed;
  return absl::ParseTime(kIdFormat, time, &parsed, nullptr) ? parsed : absl::InfinitePast();
}

std::vector<std::string> JobsToRemove(std::vector<EndedJob> jobs, absl::Time now,
                                      absl::Duration keep, int max) {
  std::sort(jobs.begin(), jobs.end(), [](const EndedJob& a, const EndedJob& b) {
    return std::tie(a.ended, a.id) < std::tie(b.ended, b.id);
  });
  const size_t too_many = jobs.size() - std::min(jobs.size(), static_cast<size_t>(max));
  std::vector<std::string> remove;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (i < too_many || now - jobs[i].ended > keep) remove.push_back(jobs[i].id);
  }
  return remove;
}

}  // namespace proad::server
