#include "client/dataset_upload.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/error.h"
#include "client/wait.h"

namespace proad::client {
namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;  // largest chunk of UploadDataset

}  // namespace

proad::v1::UploadDatasetResponse CompleteDataset(const std::string& dataset_id,
                                                 const FolderListing& listing) {
  proad::v1::UploadDatasetResponse response;
  response.set_dataset_id(dataset_id);
  response.set_complete(true);
  response.set_files(listing.files.size());
  response.set_size_bytes(listing.bytes);
  response.set_last_path(listing.files.back().path);
  return response;
}

DatasetUpload::DatasetUpload(proad::v1::TrainingService::StubInterface& stub,
                             const CallOptions& call, const std::string& dataset_id,
                             const std::filesystem::path& folder, const FolderListing& listing,
                             const UploadOptions& options)
    : stub_(stub),
      call_(call),
      dataset_id_(dataset_id),
      folder_(folder),
      listing_(listing),
      options_(options) {}

absl::StatusOr<proad::v1::UploadDatasetResponse> DatasetUpload::Run() {
  absl::BitGen random;
  size_t furthest = 0;
  for (int attempts = 1;; ++attempts) {
    absl::StatusOr<proad::v1::UploadDatasetResponse> done = RunOnce();
    if (done.ok()) return done;
    if (options_.stop.stop_requested()) return absl::CancelledError("the upload was stopped");
    if (finish_sent_ && absl::IsAlreadyExists(done.status())) {
      return CompleteDataset(dataset_id_, listing_);
    }
    if (stored_ > furthest) attempts = 1;
    furthest = std::max(furthest, stored_);
    // A broken stream may still be open on the server and hold the dataset: ABORTED is temporary then.
    const absl::Status error = interrupted_ && absl::IsAborted(done.status())
                                   ? absl::UnavailableError(done.status().message())
                                   : done.status();
    const auto delay = RetryDelay(options_.retry, error, attempts, absl::InfiniteDuration(),
                                  absl::Uniform(random, 0.0, 1.0));
    if (!delay) return done;
    interrupted_ = true;
    if (options_.on_interruption) options_.on_interruption(done.status());
    if (!WaitFor(*delay, options_.stop)) return absl::CancelledError("the upload was stopped");
  }
}

absl::StatusOr<proad::v1::UploadDatasetResponse> DatasetUpload::RunOnce() {
  const absl::StatusOr<proad::v1::UploadDatasetResponse> stored = GetStored();
  if (!stored.ok()) return stored;
  if (absl::Status fits = ContinueAfter(*stored); !fits.ok()) return fits;
  return Send();
}

absl::StatusOr<proad::v1::UploadDatasetResponse> DatasetUpload::GetStored() const {
  grpc::ClientContext context;
  const std::stop_callback give_up(options_.stop, [&context] { context.TryCancel(); });
  context.set_deadline(ToDeadline(absl::Now() + call_.deadline));
  proad::v1::UploadDatasetResponse stored;
  const auto stream = stub_.UploadDataset(&context, &stored);
  stream->Write(Start());
  stream->WritesDone();
  const absl::Status status = ToStatus(stream->Finish(), context);
  if (!status.ok()) return status;
  return stored;
}

absl::Status DatasetUpload::ContinueAfter(const proad::v1::UploadDatasetResponse& stored) {
  const auto first =
      stored.last_path().empty()
          ? listing_.files.begin()
          : std::upper_bound(
                listing_.files.begin(), listing_.files.end(), stored.last_path(),
                [](const std::string& path, const FolderFile& file) { return path < file.path; });
  uint64_t bytes = 0;
  for (auto file = listing_.files.begin(); file != first; ++file) bytes += file->bytes;
  const auto files = static_cast<uint64_t>(first - listing_.files.begin());
  if (files != stored.files() || bytes != stored.size_bytes()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the server has an unfinished upload named ", dataset_id_, " with ", stored.files(),
        " files and ", stored.size_bytes(), " bytes up to ", stored.last_path(), ", but ",
        folder_.string(), " has ", files, " files and ", bytes,
        " bytes up to that path. It is another dataset: upload it under another name"));
  }
  stored_ = next_ = files;
  bytes_ = bytes;
  return absl::OkStatus();
}

absl::StatusOr<proad::v1::UploadDatasetResponse> DatasetUpload::Send() {
  grpc::ClientContext context;
  const std::stop_callback give_up(options_.stop, [&context] { context.TryCancel(); });
  proad::v1::UploadDatasetResponse response;
  const auto stream = stub_.UploadDataset(&context, &response);
  const absl::Status sent = SendFiles(*stream);
  if (!sent.ok()) context.TryCancel();
  const absl::Status status = ToStatus(stream->Finish(), context);
  // An error of this side caused the cancellation, so it is the better explanation.
  if (!sent.ok()) return sent;
  if (!status.ok()) return status;
  return response;
}

absl::Status DatasetUpload::SendFiles(Stream& stream) {
  if (!stream.Write(Start())) return absl::OkStatus();
  for (size_t file = next_; file < listing_.files.size(); ++file) {
    if (absl::Status sent = SendFile(listing_.files[file], stream); !sent.ok()) {
      // The stream broke: Finish returns the error.
      return absl::IsUnavailable(sent) ? absl::OkStatus() : sent;
    }
  }
  proad::v1::UploadDatasetRequest finish;
  finish.mutable_finish()->set_files(listing_.files.size());
  finish_sent_ = stream.Write(finish);
  stream.WritesDone();
  if (options_.on_progress) {
    options_.on_progress(
        {listing_.files.size(), listing_.files.size(), listing_.bytes, listing_.bytes, ""});
  }
  return absl::OkStatus();
}

absl::Status DatasetUpload::SendFile(const FolderFile& file, Stream& stream) {
  const absl::Status broken = absl::UnavailableError("the stream has ended");
  proad::v1::UploadDatasetRequest message;
  message.mutable_file()->set_path(file.path);
  message.mutable_file()->set_size_bytes(file.bytes);
  message.mutable_file()->set_sha256(file.sha256);
  if (!stream.Write(message)) return broken;
  std::ifstream content(folder_ / file.path, std::ios::binary);
  for (uint64_t sent = 0; sent < file.bytes;) {
    std::string& chunk = *message.mutable_chunk();
    chunk.resize(std::min<uint64_t>(kChunkBytes, file.bytes - sent));
    if (!content.read(chunk.data(), static_cast<std::streamsize>(chunk.size()))) {
      return absl::FailedPreconditionError(absl::StrCat(
          (folder_ / file.path).string(), " was removed or became shorter during the upload"));
    }
    if (!stream.Write(message)) return broken;
    sent += chunk.size();
    if (options_.on_progress) {
      options_.on_progress(
          {next_, listing_.files.size(), bytes_ + sent, listing_.bytes, file.path});
    }
  }
  ++next_;
  bytes_ += file.bytes;
  return absl::OkStatus();
}

proad::v1::UploadDatasetRequest DatasetUpload::Start() const {
  proad::v1::UploadDatasetRequest request;
  request.mutable_start()->set_dataset_id(dataset_id_);
  request.mutable_start()->set_total_bytes(listing_.bytes);
  request.mutable_start()->set_total_files(listing_.files.size());
  return request;
}

}  // namespace proad::client
