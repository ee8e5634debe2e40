// One UploadDataset call: receives the files of a dataset, or a part of them.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <proad/v1/training.pb.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/uploads/dataset_upload.h"
#include "server/util/mutex.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Reads a message, handles it on `pool`, then reads the next one: the call holds one message in
// memory, and HTTP/2 flow control slows the client to the speed of the disk. The call ends
//   OK          after "finish", or when the client closes its side; the response describes the
//               dataset as it is then
//   CANCELLED   when the client is gone
//   as `why`    after Refuse
//   an error    of DatasetStore or DatasetUpload, or INVALID_ARGUMENT for a message out of order
// In every case the store keeps the complete files.
//
// Thread-safety: gRPC calls the reactions; Refuse may be called from any thread.
class DatasetUploadStream : public grpc::ServerReadReactor<v1::UploadDatasetRequest> {
 public:
  // Gets the status that the call ended with.
  using OnEnd = absl::AnyInvocable<void(DatasetUploadStream*, const absl::Status&)>;

  // Calls `on_end` when gRPC has released the call. The object and `response` must live until then.
  DatasetUploadStream(DatasetStore& datasets, ThreadPool& pool, v1::UploadDatasetResponse& response,
                      OnEnd on_end);

  // Starts to read. Call it once, after construction.
  void Start();

  // Ends the call after the message that is being handled.
  void Refuse(const absl::Status& why);

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // Run on the pool, one at a time.
  void HandleMessage();
  void HandleClose();
  void End();

  // Returns whether the upload is finished.
  absl::StatusOr<bool> Apply(const v1::UploadDatasetRequest& request);
  // After a message: reads the next one, or ends the call.
  void Proceed(const absl::StatusOr<bool>& finished);

  DatasetStore& datasets_;
  ThreadPool& pool_;
  v1::UploadDatasetResponse& response_;
  OnEnd on_end_;
  v1::UploadDatasetRequest request_;       // used by gRPC while it reads, then by the pool
  std::unique_ptr<DatasetUpload> upload_;  // used by the pool; null before "start"

  Mutex mutex_;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;  // a task of this call is on the pool
  bool over_ ABSL_GUARDED_BY(mutex_) = false;     // no more messages are read
  absl::Status end_ ABSL_GUARDED_BY(mutex_);      // status of the call once over_
};

}  // namespace proad::server
