// One UploadDataset call: a dataset that comes file by file, or a part of one.
#pragma once

#include <grpcpp/support/server_callback.h>
#include <proad/v1/training.pb.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/uploads/dataset_store.h"
#include "server/util/mutex.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Reads a message, takes it in on `pool`, reads the next one: one message is in memory at most, and
// HTTP/2's flow control slows the client to the speed of the disk. The call ends
//   OK           after "finish", or when the client closes its side; the response says what there
//   is CANCELLED    when the client is gone else         with what was wrong, or as Refuse says
// and whatever its end, the files that were whole stay.
//
// Thread-safety: gRPC calls the reactions, Refuse may come from any thread.
class DatasetUploadStream : public grpc::ServerReadReactor<v1::UploadDatasetRequest> {
 public:
  // With how it ended.
  using OnEnd = absl::AnyInvocable<void(DatasetUploadStream*, const absl::Status&)>;

  // `on_end` is called when gRPC is through with the call, which must stay until then, as must
  // `response`.
  DatasetUploadStream(DatasetStore& datasets, ThreadPool& pool, v1::UploadDatasetResponse& response,
                      OnEnd on_end);

  // Starts to read. Once, after construction.
  void Start();

  // Ends soon, when the message under way is taken in.
  void Refuse(const absl::Status& why);

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // On the pool, one of them at a time.
  void TakeIn();
  void CloseSide();
  void End();

  // OK and true when the upload is over.
  absl::StatusOr<bool> Take(const v1::UploadDatasetRequest& request);
  // After a message: reads the next one, or ends.
  void Proceed(const absl::StatusOr<bool>& over);

  DatasetStore& datasets_;
  ThreadPool& pool_;
  v1::UploadDatasetResponse& response_;
  OnEnd on_end_;
  v1::UploadDatasetRequest request_;       // gRPC's while it reads, then the pool's
  std::unique_ptr<DatasetUpload> upload_;  // the pool's; null before "start"

  Mutex mutex_;
  bool working_ ABSL_GUARDED_BY(mutex_) = false;  // the pool has the call
  bool over_ ABSL_GUARDED_BY(mutex_) = false;     // nothing more is read
  absl::Status end_ ABSL_GUARDED_BY(mutex_);      // with this, once over_
};

}  // namespace proad::server
