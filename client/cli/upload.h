// Sending a folder to a server, with what a person wants to see of it.
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
  // "": a name that tells the content; then a dataset that is on the server already is taken for
  // what it is, the same.
  std::string dataset_id;
  bool quiet = false;  // on standard output
  absl::Duration deadline = absl::Seconds(30);
};

// Sends it, with a bar on a terminal; continues what was sent before. CANCELLED after Ctrl-C, with
// what to do then.
absl::StatusOr<proad::v1::UploadDatasetResponse> Upload(
    const std::shared_ptr<grpc::Channel>& channel, const FolderUpload& upload);

// For an error of Upload, as Fail: kInterrupted when it is CANCELLED.
int FailUpload(const absl::Status& status);

}  // namespace proad::client
