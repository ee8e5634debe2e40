#include "server/rpc/job_watch.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/rpc/status.h"
#include "server/rpc/train_job_message.h"

namespace proad::server {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(250);

}  // namespace

JobWatch::JobWatch(TrainScheduler& scheduler, std::string job_id, OnEnd on_end)
    : scheduler_(scheduler), job_id_(std::move(job_id)), on_end_(std::move(on_end)) {}

void JobWatch::Start() {
  auto subscription = scheduler_.Subscribe(job_id_, [this] { OnChange(); });
  if (!subscription.ok()) {
    Refuse(subscription.status());
    return;
  }
  MutexLock lock(mutex_);
  // Set before Proceed: OnDone may come as soon as an operation is started.
  subscription_ = *std::move(subscription);
  Proceed();
}

void JobWatch::Refuse(const absl::Status& why) {
  MutexLock lock(mutex_);
  if (over_) return;
  over_ = true;
  end_ = why;
  if (pausing_) pause_.Cancel();
  Proceed();
}

void JobWatch::OnWriteDone(bool ok) {
  MutexLock lock(mutex_);
  writing_ = false;
  if (!ok && !over_) {
    over_ = true;
    end_ = absl::CancelledError("the client is gone");
  }
  if (!over_) Pause();
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
  subscription.reset();  // waits for a running call of OnChange
  std::exchange(on_end_, nullptr)(this, end);
}

void JobWatch::OnChange() {
  MutexLock lock(mutex_);
  changed_ = true;
  // Start has not returned yet: it writes the job itself.
  if (subscription_ != nullptr) Proceed();
}

void JobWatch::Proceed() {
  if (finished_ || writing_ || pausing_) return;
  if (!over_ && changed_) {
    WriteJob();
  } else if (over_) {
    finished_ = true;
    Finish(ToGrpcStatus(end_));
  }
}

void JobWatch::WriteJob() {
  changed_ = false;
  const absl::StatusOr<TrainJob> job = scheduler_.Get(job_id_);
  if (!job.ok()) {  // removed after its end
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

void JobWatch::Pause() {
  pausing_ = true;
  pause_.Set(absl::ToChronoTime(absl::Now() + kPause), [this](bool) {
    MutexLock lock(mutex_);
    pausing_ = false;
    Proceed();
  });
}

}  // namespace proad::server
