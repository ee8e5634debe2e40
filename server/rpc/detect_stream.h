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
#include "server/batching/output_budget.h"
#include "server/rpc/inspector.h"
#include "server/util/mutex.h"

namespace proad::server {

// Reads images, runs them through the detector, and writes the answers in the order in which they
// are ready. At most one read and one write run at a time. At most `window` images are read and not
// yet answered: while there are as many, the stream reads nothing, and HTTP/2 flow control slows
// the client. An image that fails is answered with its error; the stream continues. It ends
//   OK         after the client closed its side, or the server drains, when every image that was
//              read is answered
//   CANCELLED  when the client is gone and the detector has returned all images
//   an error   of `still_allowed`, when the images that were read before are answered
//
// An answer holds its reservation of OutputBudget until its write is done.
//
// Thread-safety: gRPC calls the reactions, workers deliver answers, Drain may be called from any
// thread. Images in the detector keep the stream alive.
class DetectStream
    : public grpc::ServerBidiReactor<v1::DetectStreamRequest, v1::DetectStreamResponse>,
      public std::enable_shared_from_this<DetectStream> {
 public:
  using OnEnd = absl::AnyInvocable<void(DetectStream*)>;
  using StillAllowed = absl::AnyInvocable<absl::Status()>;

  // Calls `still_allowed` for every image: a stream may outlive the token of its client. The
  // deadline of an image is `frame_deadline` after its read, or `stream_deadline` when that is
  // earlier. Calls `on_end` when gRPC has released the stream, which must live until then.
  DetectStream(Inspector& inspector, int window, absl::Duration frame_deadline,
               absl::Time stream_deadline, StillAllowed still_allowed, OnEnd on_end);

  // Starts to read. Call it once, after construction.
  void Start();

  // Ends the stream without reading. Call it instead of Start.
  void Refuse(const absl::Status& why);

  // Stops reading. The stream ends when every image is answered.
  void Drain();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  using Request = v1::DetectStreamRequest;
  using Response = v1::DetectStreamResponse;

  // A response with the memory that is reserved for it.
  struct Answer {
    std::unique_ptr<Response> response;  // null: none
    OutputBudget::Reservation output;
  };

  void Inspect(std::shared_ptr<Request> request);
  void Enqueue(Answer answer);
  // The connection is lost. Returns the answers that can no longer be written.
  [[nodiscard]] std::deque<Answer> Break() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Starts the next operations of gRPC. Holds the lock so that no operation starts after Finish;
  // gRPC calls no reaction from within.
  void Proceed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Inspector& inspector_;
  const int window_;
  const absl::Duration frame_deadline_;
  const absl::Time stream_deadline_;
  const CancelFlag cancelled_ = std::make_shared<std::atomic<bool>>(false);
  StillAllowed still_allowed_;  // called by one read at a time
  OnEnd on_end_;

  Mutex mutex_;
  std::shared_ptr<Request> reading_ ABSL_GUARDED_BY(mutex_);  // null: no read is running
  Answer writing_ ABSL_GUARDED_BY(mutex_);                    // empty: no write is running
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // read, and answer neither written nor dropped
  bool reads_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);  // unless broken_
};

}  // namespace proad::server
