// The jobs on the disk: JOBS/<id>/, each with the files of job_files.h.
//
// A new job is written to a hidden sibling directory, flushed and renamed, so its directory is
// either complete or absent. A removed job is first renamed to a hidden directory. Only one store,
// in one process, can use a directory at a time.
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

// A job as found on the disk. Either part may be damaged: DATA_LOSS, naming the file.
struct StoredJob {
  std::string id;
  absl::StatusOr<JobSpec> spec;
  absl::StatusOr<JobRecord> record;
};

// Thread-safety: one thread at a time, except that DeleteRemoved may run in parallel to any method.
class JobStore {
 public:
  // Creates the directory when absent. FAILED_PRECONDITION when another store uses it;
  // PERMISSION_DENIED or INTERNAL when it cannot be used. The message names the directory.
  static absl::StatusOr<std::unique_ptr<JobStore>> Open(const std::filesystem::path& root);
  ~JobStore();
  JobStore(const JobStore&) = delete;
  JobStore& operator=(const JobStore&) = delete;

  // Returns all jobs, oldest first, and removes incomplete directories that a crash left.
  absl::StatusOr<std::vector<StoredJob>> Load();

  // Writes a new job, sets record.created and returns the job's id. The job then survives a power
  // cut. Ids sort by time of creation. RESOURCE_EXHAUSTED (DISK_FULL), INVALID_ARGUMENT or
  // INTERNAL; no file remains then.
  absl::StatusOr<std::string> Create(const JobSpec& spec, JobRecord& record);

  // Renames a job, or its working directory, to a hidden name. DeleteRemoved then deletes the
  // files, which may take long.
  absl::Status Remove(const std::string& id);
  absl::Status RemoveWork(const std::string& id);
  void DeleteRemoved() const;

  // Removes result.json and error.json, which the last trainer left. RESOURCE_EXHAUSTED, INTERNAL.
  absl::Status RemoveExitFiles(const std::string& id);

  std::filesystem::path Directory(const std::string& id) const { return root_ / id; }

 private:
  JobStore(std::filesystem::path root, int lock) : root_(std::move(root)), lock_(lock) {}

  std::string NewId(absl::Time& created);
  absl::Status Hide(const std::filesystem::path& path);

  const std::filesystem::path root_;
  const int lock_;                             // descriptor of JOBS/.lock
  absl::Time last_id_ = absl::InfinitePast();  // of the newest id
};

// The time of creation in a job's id; InfinitePast when `id` is not an id.
absl::Time TimeOfJobId(const std::string& id);

// The ended jobs to remove at `now`: those that ended longer than `keep` ago, and the oldest beyond
// `max` jobs.
struct EndedJob {
  std::string id;
  absl::Time ended;
};
std::vector<std::string> JobsToRemove(std::vector<EndedJob> jobs, absl::Time now,
                                      absl::Duration keep, int max);

}  // namespace proad::server
