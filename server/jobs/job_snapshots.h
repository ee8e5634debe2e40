// The jobs as callers see them: copies that the scheduler's thread replaces after each change.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/jobs/train_job.h"
#include "server/util/mutex.h"

namespace proad::server {

// ALREADY_EXISTS (REQUEST_ID_REUSED): the request id made the job `job_id`, from another request.
absl::Status RequestIdReusedError(const std::string& request_id, const std::string& job_id);

// Thread-safety: all methods may be called from any thread; none blocks.
class JobSnapshots {
 public:
  void Put(TrainJob job);
  void Remove(const std::string& id);

  // NOT_FOUND (JOB_UNKNOWN); the message lists known jobs, at most 20.
  absl::StatusOr<TrainJob> Get(const std::string& id) const;

  // Newest first.
  std::vector<TrainJob> List() const;

  // The job that a request with this id made; nullopt when there is none. ALREADY_EXISTS when the
  // job's request had another digest.
  absl::StatusOr<std::optional<TrainJob>> FindRequest(const std::string& request_id,
                                                      const std::string& request_digest) const;

 private:
  absl::Status UnknownJob(const std::string& id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, TrainJob> jobs_ ABSL_GUARDED_BY(mutex_);  // by id, so by time of creation
};

}  // namespace proad::server
