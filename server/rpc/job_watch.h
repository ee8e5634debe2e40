// One WatchTrainJob call: sends the job now and after each change.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>
#include <proad/v1/training.pb.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/jobs/train_scheduler.h"
#include "server/util/mutex.h"

namespace proad::server {

// Writes the job at once. After a change it writes the job again, at least 250 ms after the
// previous write: a slow reader misses states in between, but never the last one. The call ends
//   OK         after the job was written in a final state
//   CANCELLED  when the client is gone
//   as `why`   after Refuse
//
// Thread-safety: gRPC calls the reactions; the scheduler reports changes and Refuse may be called
// from any thread.
class JobWatch : public grpc::ServerWriteReactor<v1::WatchTrainJobResponse> {
 public:
  // Gets the status that the call ended with.
  using OnEnd = absl::AnyInvocable<void(JobWatch*, const absl::Status&)>;

  // Calls `on_end` when gRPC has released the call. The object must live until then.
  JobWatch(TrainScheduler& scheduler, std::string job_id, OnEnd on_end);

  // Subscribes and writes. Call it once, after construction.
  void Start();

  // Ends the call without waiting for the job.
  void Refuse(const absl::Status& why);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void OnChange();
  // Starts the next operation of gRPC if none is running. gRPC calls no reaction from within.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WriteJob() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Pause() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  TrainScheduler& scheduler_;
  const std::string job_id_;
  OnEnd on_end_;

  Mutex mutex_;
  std::unique_ptr<TrainScheduler::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  v1::WatchTrainJobResponse response_ ABSL_GUARDED_BY(mutex_);  // gRPC's while writing_
  grpc::Alarm pause_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = true;  // since the last write
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool pausing_ ABSL_GUARDED_BY(mutex_) = false;   // pause_ is set
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // nothing is written any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
  absl::Status end_ ABSL_GUARDED_BY(mutex_);       // status of the call once over_
};

}  // namespace proad::server
