// One WatchTrainJob call: the job as it is, and again whenever it changed.
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

// Writes the present job at once, then the then present one a quarter of a second after the one
// before at the earliest: a slow reader misses some in between, never the last. Ends with OK after
// the job in an ended state, CANCELLED when the client is gone, and otherwise as Refuse says.
//
// Thread-safety: gRPC calls the reactions, the scheduler tells of changes, Refuse may come from any
// thread.
class JobWatch : public grpc::ServerWriteReactor<v1::WatchTrainJobResponse> {
 public:
  // With how it ended.
  using OnEnd = absl::AnyInvocable<void(JobWatch*, const absl::Status&)>;

  // `on_end` is called when gRPC is through with the call, which must stay until then.
  JobWatch(TrainScheduler& scheduler, std::string job_id, OnEnd on_end);

  // Subscribes and writes. Once, after construction.
  void Start();

  // Ends soon, without waiting for the job.
  void Refuse(const absl::Status& why);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Changed();
  // Starts what can be started; gRPC calls no reaction from within.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WritePresent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Rest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  TrainScheduler& scheduler_;
  const std::string job_id_;
  OnEnd on_end_;

  Mutex mutex_;
  std::unique_ptr<TrainScheduler::Subscription> subscription_ ABSL_GUARDED_BY(mutex_);
  v1::WatchTrainJobResponse response_ ABSL_GUARDED_BY(mutex_);  // gRPC's while writing_
  grpc::Alarm pause_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = true;  // since it was last written
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool resting_ ABSL_GUARDED_BY(mutex_) = false;   // pause_ is set
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // nothing is written any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC was told
  absl::Status end_ ABSL_GUARDED_BY(mutex_);       // with this
};

}  // namespace proad::server
