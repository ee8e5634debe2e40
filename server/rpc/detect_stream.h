// One DetectStream call: many images over one stream, pipelined.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <proad/v1/detection.grpc.pb.h>

#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "server/batching/inference_task.h"
#include "server/rpc/inspector.h"
#include "server/util/mutex.h"

namespace proad::server {

// Reads a frame, has it inspected, writes its answer; one read and one write are under way at most.
// Frames that are read and whose answers are not yet written number `window` at most: when that is
// full nothing more is read, and HTTP/2's flow control slows the client. Answers are written as
// they come. The stream ends
//   OK         when the client has said that it is done, or the server drains, and every frame that
//              was read is answered
//   CANCELLED  when the client is gone and nothing of it is under way any more
//   another    as the caller is told who may not go on, when what was read before is answered
//
// Thread-safety: gRPC calls the reactions, workers bring the answers, Drain may come from any
// thread. Frames under way keep the stream alive, so that an answer that comes late finds it.
class DetectStream
    : public grpc::ServerBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse>,
      public std::enable_shared_from_this<DetectStream> {
 public:
  using OnEnd = absl::AnyInvocable<void(DetectStream*)>;
  using StillAllowed = absl::AnyInvocable<absl::Status()>;

  // `still_allowed` is asked for every frame: a stream lives longer than tokens do.
  // `frame_deadline`: a frame is answered this long after it was read at the latest, and by
  // `stream_deadline`. `on_end` is called when gRPC is through with the stream, which must stay
  // until then.
  DetectStream(Inspector& inspector, int window, absl::Duration frame_deadline,
               absl::Time stream_deadline, StillAllowed still_allowed, OnEnd on_end);

  // Starts to read. Once, after construction.
  void Start();

  // Ends without having read anything.
  void Refuse(const absl::Status& why);

  // Reads no more; ends when every frame is answered.
  void Drain();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  using Request = v1::DetectStreamRequest;
  using Response = v1::DetectStreamResponse;

  void Inspect(std::shared_ptr<Request> request);
  void Answer(std::unique_ptr<Response> response);
  // The connection is gone: answers are of no use any more.
  void Break() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts what can be started. gRPC only takes operations in, and never calls a reaction from
  // within; under the lock, so that nothing is started after the end.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Inspector& inspector_;
  const int window_;
  const absl::Duration frame_deadline_;
  const absl::Time stream_deadline_;
  const CancelFlag cancelled_ = std::make_shared<std::atomic<bool>>(false);
  StillAllowed still_allowed_;  // one read at a time asks
  OnEnd on_end_;

  Mutex mutex_;
  std::shared_ptr<Request> reading_ ABSL_GUARDED_BY(mutex_);   // null: no read is under way
  std::unique_ptr<Response> writing_ ABSL_GUARDED_BY(mutex_);  // null: no write is under way
  std::deque<std::unique_ptr<Response>> answers_ ABSL_GUARDED_BY(mutex_);
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // read, and answer not yet written or given up
  bool reads_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);  // unless broken_
};

}  // namespace proad::server
