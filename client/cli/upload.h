// Uploads a folder to a server and reports the progress.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

struct FolderUpload {
  std::filesystem::path folder;
  // Empty: the id depends on the content (DatasetIdOf), and a complete dataset with this id on the
  // server is the same dataset, so nothing is uploaded.
  std::string dataset_id;
  bool quiet = false;  // print nothing to standard output
  absl::Duration deadline = absl::Seconds(30);
};

// Uploads the folder, with a progress line on a terminal. Continues an unfinished upload. CANCELLED
// after Ctrl-C.
absl::StatusOr<proad::v1::UploadDatasetResponse> Upload(
    const std::shared_ptr<grpc::Channel>& channel, const FolderUpload& upload);

// Prints an error of Upload and returns the exit code: as Fail, but kInterrupted for CANCELLED.
int FailUpload(const absl::Status& status);

}  // namespace proad::client
