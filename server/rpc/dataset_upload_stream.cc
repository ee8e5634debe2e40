#include "server/rpc/dataset_upload_stream.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/rpc/proto_time.h"
#include "server/rpc/status.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr size_t kMaxChunk = 1 << 20;

absl::Status OutOfOrder(const std::string& field, const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
                   {.reason = reason::kMessageOutOfTurn, .field = field});
}

// Values above int64_t stay above every limit.
int64_t Bounded(uint64_t value) {
  return static_cast<int64_t>(std::min<uint64_t>(value, std::numeric_limits<int64_t>::max()));
}

void Fill(const StoredDataset& dataset, v1::UploadDatasetResponse& response) {
  response.set_dataset_id(dataset.id);
  response.set_complete(dataset.complete);
  response.set_files(static_cast<uint64_t>(dataset.files));
  response.set_size_bytes(static_cast<uint64_t>(dataset.bytes));
  response.set_last_path(dataset.last_path);
  if (dataset.expires != absl::InfiniteFuture()) {
    *response.mutable_expire_time() = ToProtoTimestamp(dataset.expires);
  }
}

}  // namespace

DatasetUploadStream::DatasetUploadStream(DatasetStore& datasets, ThreadPool& pool,
                                         v1::UploadDatasetResponse& response, OnEnd on_end)
    : datasets_(datasets), pool_(pool), response_(response), on_end_(std::move(on_end)) {}

void DatasetUploadStream::Start() {
  MutexLock lock(mutex_);
  StartRead(&request_);
}

void DatasetUploadStream::Refuse(const absl::Status& why) {
  {
    MutexLock lock(mutex_);
    if (over_) return;
    over_ = true;
    end_ = why;
    if (std::exchange(working_, true)) return;  // the task on the pool ends the call
  }
  pool_.Post([this] { End(); });
}

void DatasetUploadStream::OnReadDone(bool ok) {
  {
    MutexLock lock(mutex_);
    if (over_) return;
    working_ = true;
  }
  // A call has at most one task in the queue, so the number of calls bounds the queue.
  pool_.Post([this, ok] { ok ? HandleMessage() : HandleClose(); });
}

void DatasetUploadStream::OnCancel() { Refuse(absl::CancelledError("the client is gone")); }

void DatasetUploadStream::OnDone() {
  absl::Status end;
  {
    MutexLock lock(mutex_);
    end = end_;
  }
  std::exchange(on_end_, nullptr)(this, end);
}

void DatasetUploadStream::HandleMessage() { Proceed(Apply(request_)); }

void DatasetUploadStream::HandleClose() {
  if (upload_ != nullptr) {
    Proceed(true);
  } else {
    Proceed(OutOfOrder("start", "the stream ended before its first message"));
  }
}

absl::StatusOr<bool> DatasetUploadStream::Apply(const v1::UploadDatasetRequest& request) {
  using Part = v1::UploadDatasetRequest::PartCase;
  const Part part = request.part_case();
  if (part == Part::PART_NOT_SET) {
    return OutOfOrder("part", "is not set; one of start, file, chunk and finish is expected");
  }
  if ((part == Part::kStart) != (upload_ == nullptr)) {
    return OutOfOrder("start", "must be the first message, and no other");
  }
  switch (part) {
    case Part::kStart: {
      auto upload =
          datasets_.Begin(request.start().dataset_id(), Bounded(request.start().total_bytes()),
                          Bounded(request.start().total_files()));
      if (!upload.ok()) return upload.status();
      upload_ = *std::move(upload);
      return false;
    }
    case Part::kFile: {
      const v1::UploadFile& file = request.file();
      const absl::Status status =
          upload_->StartFile(file.path(), Bounded(file.size_bytes()), file.sha256());
      return status.ok() ? absl::StatusOr<bool>(false) : status;
    }
    case Part::kChunk: {
      if (request.chunk().size() > kMaxChunk) {
        return MakeError(absl::StatusCode::kInvalidArgument,
                         absl::StrCat("chunk: has ", request.chunk().size(), " bytes; at most ",
                                      kMaxChunk, " are accepted"),
                         {.reason = reason::kChunkTooLarge,
                          .field = "chunk",
                          .metadata = {{"max_bytes", absl::StrCat(kMaxChunk)}}});
      }
      const absl::Status status = upload_->Append(request.chunk());
      return status.ok() ? absl::StatusOr<bool>(false) : status;
    }
    default: {
      const absl::Status status = upload_->Finish(Bounded(request.finish().files()));
      return status.ok() ? absl::StatusOr<bool>(true) : status;
    }
  }
}

void DatasetUploadStream::Proceed(const absl::StatusOr<bool>& finished) {
  {
    MutexLock lock(mutex_);
    if (!over_ && finished.ok() && !*finished) {
      working_ = false;
      StartRead(&request_);
      return;
    }
    if (!over_) {
      over_ = true;
      end_ = finished.status();
    }
  }
  End();
}

void DatasetUploadStream::End() {
  if (upload_ != nullptr) Fill(upload_->dataset(), response_);
  // Flushes the complete files before the client gets the answer.
  upload_.reset();
  MutexLock lock(mutex_);
  Finish(ToGrpcStatus(end_));
}

}  // namespace proad::server
