#include "server/rpc/detect_stream.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "server/rpc/status.h"

namespace proad::server {

DetectStream::DetectStream(Inspector& inspector, int window, absl::Duration frame_deadline,
                           absl::Time stream_deadline, StillAllowed still_allowed, OnEnd on_end)
    : inspector_(inspector),
      window_(window),
      frame_deadline_(frame_deadline),
      stream_deadline_(stream_deadline),
      still_allowed_(std::move(still_allowed)),
      on_end_(std::move(on_end)) {}

void DetectStream::Start() {
  MutexLock lock(mutex_);
  Proceed();
}

void DetectStream::Refuse(const absl::Status& why) {
  MutexLock lock(mutex_);
  finished_ = true;
  Finish(ToGrpcStatus(why));
}

void DetectStream::Drain() {
  MutexLock lock(mutex_);
  reads_over_ = true;
  Proceed();
}

void DetectStream::OnReadDone(bool ok) {
  std::shared_ptr<Request> request;
  absl::Status allowed = ok ? still_allowed_() : absl::OkStatus();
  {
    MutexLock lock(mutex_);
    request = std::move(reading_);
    if (!allowed.ok()) end_ = std::move(allowed);
    if (ok && !finished_ && end_.ok()) {
      ++in_flight_;
    } else {
      request.reset();
      reads_over_ = true;
    }
  }
  if (request != nullptr) Inspect(std::move(request));
  MutexLock lock(mutex_);
  Proceed();
}

void DetectStream::OnWriteDone(bool ok) {
  Answer written;
  std::deque<Answer> dropped;
  MutexLock lock(mutex_);  // released before the answers are freed
  std::swap(written, writing_);
  --in_flight_;
  if (!ok) dropped = Break();
  Proceed();
}

void DetectStream::OnCancel() {
  cancelled_->store(true);
  inspector_.detector().AnswerCancelled();
  std::deque<Answer> dropped;
  MutexLock lock(mutex_);  // released before the answers are freed
  dropped = Break();
  Proceed();
}

void DetectStream::OnDone() { std::exchange(on_end_, nullptr)(this); }

void DetectStream::Inspect(std::shared_ptr<Request> request) {
  const absl::Time deadline = std::min(absl::Now() + frame_deadline_, stream_deadline_);
  auto response = std::make_unique<Response>();
  v1::DetectResponse& detection = *response->mutable_detection();
  const v1::DetectRequest& image = request->request();
  inspector_.Inspect(
      image, deadline, cancelled_, detection,
      [self = shared_from_this(), request = std::move(request), response = std::move(response)](
          const absl::Status& status, OutputBudget::Reservation output) mutable {
        response->set_request_id(response->detection().request_id());
        if (!status.ok()) *response->mutable_error() = ToRpcStatus(status);
        self->Enqueue({std::move(response), std::move(output)});
      });
}

void DetectStream::Enqueue(Answer answer) {
  MutexLock lock(mutex_);
  if (broken_) {
    --in_flight_;
  } else {
    answers_.push_back(std::move(answer));
  }
  Proceed();
}

std::deque<DetectStream::Answer> DetectStream::Break() {
  broken_ = true;
  reads_over_ = true;
  in_flight_ -= static_cast<int>(answers_.size());
  return std::exchange(answers_, {});
}

void DetectStream::Proceed() {
  if (finished_) return;
  if (writing_.response == nullptr && !answers_.empty()) {
    writing_ = std::move(answers_.front());
    answers_.pop_front();
    StartWrite(writing_.response.get());
  }
  if (reading_ == nullptr && !reads_over_ && in_flight_ < window_) {
    reading_ = std::make_shared<Request>();
    StartRead(reading_.get());
  }
  if (reads_over_ && in_flight_ == 0) {
    finished_ = true;
    Finish(broken_ ? grpc::Status::CANCELLED : ToGrpcStatus(end_));
  }
}

}  // namespace proad::server
