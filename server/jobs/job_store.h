// Where jobs are written down: JOBS/<id>/, each with the files of job_files.h.
//
// A job's directory is made in a hidden sibling, flushed and renamed, so it is there whole or not
// at all; it is removed by being renamed to a hidden one first. One store a directory: a second
// one, of another process too, is refused.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/job_files.h"
#include "server/jobs/train_job.h"

namespace proad::server {

// A job as it was found on the disk. Either half may be damaged: DATA_LOSS naming the file.
struct StoredJob {
  std::string id;
  absl::StatusOr<JobSpec> spec;
  absl::StatusOr<JobRecord> record;
};

// Thread-safety: one thread at a time, but DeleteRemoved may run beside anything.
class JobStore {
 public:
  // Makes the directory when absent. FAILED_PRECONDITION when another store has it,
  // PERMISSION_DENIED, RESOURCE_EXHAUSTED or INTERNAL when it cannot be used; all name it.
  static absl::StatusOr<std::unique_ptr<JobStore>> Open(const std::filesystem::path& root);
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  // Every job, oldest first, and clears away what a crash left half made.
  absl::StatusOr<std::vector<StoredJob>> Load();

  // Writes a new job down and returns its id; when this returns, it survives a power cut. Sets
  // record.created. Ids sort by time of creation, the same on every machine.
  // RESOURCE_EXHAUSTED (DISK_FULL), INVALID_ARGUMENT or INTERNAL; nothing is left behind then.
  absl::StatusOr<std::string> Create(const JobSpec& spec, JobRecord& record);

  // Takes a job, or its working directory, out of sight. DeleteRemoved gives the room back, which
  // may take long.
  absl::Status Remove(const std::string& id);
  absl::Status RemoveWork(const std::string& id);
  void DeleteRemoved() const;

  // Forgets what the last trainer said of the job, its result or error. INTERNAL.
  absl::Status RemoveVerdict(const std::string& id);

  std::filesystem::path Directory(const std::string& id) const { return root_ / id; }

 private:
  JobStore(std::filesystem::path root, int lock) : root_(std::move(root)), lock_(lock) {}

  std::string NewId(absl::Time& created);
  absl::Status Hide(const std::filesystem::path& path);

  const std::filesystem::path root_;
  const int lock_;                             // of the directory, for the store's life
  absl::Time last_id_ = absl::InfinitePast();  // time in the newest id
};

// When a job was created, by its id.
absl::Time TimeOfJobId(const std::string& id);

// Of jobs that have ended, those to be removed at `now`: older than `keep`, or more than `max`, the
// oldest of them.
struct EndedJob {
  std::string id;
  absl::Time ended;
};
std::vector<std::string> JobsToRemove(std::vector<EndedJob> jobs, absl::Time now,
                                      absl::Duration keep, int max);

}  // namespace proad::server
