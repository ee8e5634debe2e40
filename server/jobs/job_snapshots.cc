#include "server/jobs/job_snapshots.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

absl::Status RequestIdReusedError(const std::string& request_id, const std::string& job_id) {
  return MakeError(absl::StatusCode::kAlreadyExists,
                   absl::StrCat("request_id: ", Quote(request_id), " made job ", job_id,
                                " from another specification; use a new request_id"),
                   {.reason = reason::kRequestIdReused,
                    .field = "request_id",
                    .metadata = {{"job_id", job_id}}});
}

void JobSnapshots::Put(TrainJob job) {
  MutexLock lock(mutex_);
  TrainJob& snapshot = jobs_[job.id];
  snapshot = std::move(job);
}

void JobSnapshots::Remove(const std::string& id) {
  MutexLock lock(mutex_);
  jobs_.erase(id);
}

absl::StatusOr<TrainJob> JobSnapshots::Get(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(id);
  if (found == jobs_.end()) return UnknownJob(id);
  return found->second;
}

std::vector<TrainJob> JobSnapshots::List() const {
  MutexLock lock(mutex_);
  std::vector<TrainJob> jobs;
  jobs.reserve(jobs_.size());
  for (auto it = jobs_.rbegin(); it != jobs_.rend(); ++it) jobs.push_back(it->second);
  return jobs;
}

absl::StatusOr<std::optional<TrainJob>> JobSnapshots::FindRequest(
    const std::string& request_id, const std::string& request_digest) const {
  MutexLock lock(mutex_);
  for (const auto& [id, job] : jobs_) {
    if (job.request_id != request_id) continue;
    if (job.spec.request_digest != request_digest) return RequestIdReusedError(request_id, id);
    return job;
  }
  return std::nullopt;
}

absl::Status JobSnapshots::UnknownJob(const std::string& id) const {
  constexpr size_t kListed = 20;
  std::vector<std::string> known;
  for (auto it = jobs_.rbegin(); it != jobs_.rend() && known.size() < kListed; ++it) {
    known.push_back(it->first);
  }
  const std::string more = jobs_.size() > known.size()
                               ? absl::StrCat(", and ", jobs_.size() - known.size(), " older")
                               : "";
  return MakeError(absl::StatusCode::kNotFound,
                   known.empty() ? absl::StrCat("no job ", Quote(id), "; there are none")
                                 : absl::StrCat("no job ", Quote(id),
                                                "; known: ", absl::StrJoin(known, ", "), more),
                   {.reason = reason::kJobUnknown, .field = "job_id"});
}

}  // namespace proad::server
