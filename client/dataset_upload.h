// Uploads one folder: opens streams, one after the other, until the dataset is complete.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/training_client.h"
#include "proad/v1/training.grpc.pb.h"

namespace proad::client {

// The response for a complete dataset with the files of `listing`, for a dataset that the server has
// already or whose response was lost.
proad::v1::UploadDatasetResponse CompleteDataset(const std::string& dataset_id,
                                                 const FolderListing& listing);

// Not thread-safe. Keeps references to its arguments, which must outlive it.
class DatasetUpload {
 public:
  DatasetUpload(proad::v1::TrainingService::StubInterface& stub, const CallOptions& call,
                const std::string& dataset_id, const std::filesystem::path& folder,
                const FolderListing& listing, const UploadOptions& options);

  // As TrainingClient::UploadDataset.
  absl::StatusOr<proad::v1::UploadDatasetResponse> Run();

 private:
  using Stream = grpc::ClientWriterInterface<proad::v1::UploadDatasetRequest>;

  // Asks which files the server has and sends the others.
  absl::StatusOr<proad::v1::UploadDatasetResponse> RunOnce();
  absl::StatusOr<proad::v1::UploadDatasetResponse> GetStored() const;
  // Continues after the files that the server has. FAILED_PRECONDITION when they are not the first
  // files of this folder.
  absl::Status ContinueAfter(const proad::v1::UploadDatasetResponse& stored);
  absl::StatusOr<proad::v1::UploadDatasetResponse> Send();
  // Sends the remaining files. OK also when the stream breaks: the stream's status has the error.
  absl::Status SendFiles(Stream& stream);
  absl::Status SendFile(const FolderFile& file, Stream& stream);
  proad::v1::UploadDatasetRequest Start() const;

  proad::v1::TrainingService::StubInterface& stub_;
  const CallOptions& call_;
  const std::string& dataset_id_;
  const std::filesystem::path& folder_;
  const FolderListing& listing_;
  const UploadOptions& options_;
  size_t stored_ = 0;         // complete files on the server, according to its last answer
  size_t next_ = 0;           // index of the next file to send
  uint64_t bytes_ = 0;        // total size of the files before it
  bool interrupted_ = false;  // a stream broke; the server may still hold it open
  bool finish_sent_ = false;  // the response to finish may have been lost
};

}  // namespace proad::client
