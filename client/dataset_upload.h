// One folder on its way to a server: streams, one after the other, until the dataset is complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/training_client.h"
#include "proad/v1/training.grpc.pb.h"

namespace proad::client {

// Belongs to one thread. All references must outlive it.
class DatasetUpload {
 public:
  DatasetUpload(proad::v1::TrainingService::StubInterface& stub, const CallOptions& call,
                const std::string& dataset_id, const std::filesystem::path& folder,
                const FolderListing& listing, const UploadOptions& options);

  // As TrainingClient::UploadDataset.
  absl::StatusOr<proad::v1::UploadDatasetResponse> Run();

 private:
  using Stream = grpc::ClientWriterInterface<proad::v1::UploadDatasetRequest>;

  // Asks what the server has, then sends the rest.
  absl::StatusOr<proad::v1::UploadDatasetResponse> RunOnce();
  absl::StatusOr<proad::v1::UploadDatasetResponse> Ask() const;
  // Takes over from the server what it has: where to go on.
  absl::Status GoOnAfter(const proad::v1::UploadDatasetResponse& stored);
  absl::StatusOr<proad::v1::UploadDatasetResponse> Send();
  // All that is left. OK as well when the stream breaks: its status says why.
  absl::Status SendFiles(Stream& stream);
  absl::Status SendFile(const FolderFile& file, Stream& stream);
  proad::v1::UploadDatasetRequest Start() const;
  proad::v1::UploadDatasetResponse Completed() const;

  proad::v1::TrainingService::StubInterface& stub_;
  const CallOptions& call_;
  const std::string& dataset_id_;
  const std::filesystem::path& folder_;
  const FolderListing& listing_;
  const UploadOptions& options_;
  size_t stored_ = 0;         // whole files that the server had when it was last asked
  size_t next_ = 0;           // file to send
  uint64_t bytes_ = 0;        // of the files before it
  bool interrupted_ = false;  // a stream of ours broke: the server may not have noticed yet
  bool finish_sent_ = false;  // its answer may have been lost
};

}  // namespace proad::client
