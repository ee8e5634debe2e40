#include "server/rpc/job_watch.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/rpc/status.h"
#include "server/rpc/train_convert.h"

namespace proad::server {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(250);

}  // namespace

JobWatch::JobWatch(TrainScheduler& scheduler, std::string job_id, OnEnd on_end)
    : scheduler_(scheduler), job_id_(std::move(job_id)), on_end_(std::move(on_end)) {}

void JobWatch::Start() {
  auto subscription = scheduler_.Subscribe(job_id_, [this] { Changed(); });
  if (!subscription.ok()) {
    Refuse(subscription.status());
    return;
  }
  MutexLock lock(mutex_);
  // gRPC may be through with the call as soon as something is started; OnDone finds it in place.
  subscription_ = *std::move(subscription);
  Proceed();
}

void JobWatch::Refuse(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (over_) return;
  over_ = true;
  end_ = why;
  if (resting_) pause_.Cancel();
  Proceed();
}

void JobWatch::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok && !over_) {
    over_ = true;
    end_ = absl::CancelledError("the client is gone");
  }
  if (!over_) Rest();
  Proceed();
}

void JobWatch::OnCancel() { Refuse(absl::CancelledError("the client is gone")); }

void JobWatch::OnDone() {
  absl::Status end;
  std::unique_ptr<TrainScheduler::Subscription> subscription;
  {
    MutexLock lock(mutex_);
    end = end_;
    subscription = std::move(subscription_);
  }
  subscription.reset();  // no call of Changed is under way after this
  std::exchange(on_end_, nullptr)(this, end);
}

void JobWatch::Changed() {
  MutexLock lock(mutex_);
  changed_ = true;
  // Before Start is through, it writes by itself.
  if (subscription_ != nullptr) Proceed();
}

void JobWatch::Proceed() {
  if (finished_ || writing_ || resting_) return;
  if (!over_ && changed_) {
    WritePresent();
  } else if (over_) {
    finished_ = true;
    Finish(ToGrpcStatus(end_));
  }
}

void JobWatch::WritePresent() {
  changed_ = false;
  const absl::StatusOr<TrainJob> job = scheduler_.Get(job_id_);
  if (!job.ok()) {  // removed, long after its end
    over_ = finished_ = true;
    end_ = job.status();
    Finish(ToGrpcStatus(end_));
    return;
  }
  response_.Clear();
  FillTrainJob(*job, *response_.mutable_job());
  if (HasEnded(job->state)) over_ = true;
  writing_ = true;
  StartWrite(&response_);
}

void JobWatch::Rest() {
  resting_ = true;
  pause_.Set(absl::ToChronoTime(absl::Now() + kPause), [this](bool) {
    MutexLock lock(mutex_);
    resting_ = false;
    Proceed();
  });
}

}  // namespace proad::server
