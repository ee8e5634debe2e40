#include "client/cli/upload.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/connection.h"
#include "client/cli/exit_code.h"
#include "client/cli/interrupt.h"
#include "client/cli/table.h"
#include "client/cli/terminal.h"
#include "client/dataset_upload.h"
#include "client/error.h"
#include "client/training_client.h"

namespace proad::client {
namespace {

constexpr size_t kMaxLeftOutShown = 5;

std::string Files(uint64_t files) { return absl::StrCat(files, files == 1 ? " file" : " files"); }

std::string Megabytes(uint64_t bytes) {
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

std::string UploadLine(const UploadProgress& progress) {
  const std::string line =
      absl::StrCat("uploading  ", progress.files, "/", progress.total_files, " files  ",
                   Megabytes(progress.bytes), " of ", Megabytes(progress.total_bytes));
  return line.substr(0, TerminalWidth() - 1);
}

void PrintLeftOut(const FolderListing& listing) {
  if (listing.left_out.empty()) return;
  std::cerr << "proad: not uploaded (hidden, linked, or neither image nor list): "
            << listing.left_out.size() << ":";
  for (size_t i = 0; i < std::min(listing.left_out.size(), kMaxLeftOutShown); ++i) {
    std::cerr << " " << Printable(listing.left_out[i]);
  }
  std::cerr << (listing.left_out.size() > kMaxLeftOutShown ? " ...\n" : "\n");
}

}  // namespace

absl::StatusOr<proad::v1::UploadDatasetResponse> Upload(
    const std::shared_ptr<grpc::Channel>& channel, const FolderUpload& upload) {
  const Interrupt interrupt;
  const auto listing = ListFolder(upload.folder, interrupt.token());
  if (!listing.ok()) return listing.status();
  PrintLeftOut(*listing);
  const std::string id =
      upload.dataset_id.empty() ? DatasetIdOf(upload.folder, *listing) : upload.dataset_id;
  StatusLine line;
  UploadOptions options;
  options.stop = interrupt.token();
  if (!upload.quiet && OutputIsTerminal()) {
    options.on_progress = [&](const UploadProgress& progress) { line.Draw(UploadLine(progress)); };
  }
  options.on_interruption = [&](const absl::Status& status) {
    line.Clear();
    std::cerr << "proad: " << Describe(status) << "; continuing after the last complete file\n";
  };
  const auto uploaded = TrainingClient(channel, {.deadline = upload.deadline})
                            .UploadDataset(id, upload.folder, *listing, options);
  line.Clear();
  if (absl::IsAlreadyExists(uploaded.status()) && upload.dataset_id.empty()) {
    if (!upload.quiet) std::cout << "the server has this dataset already: " << id << "\n";
    return CompleteDataset(id, *listing);
  }
  if (uploaded.ok() && !upload.quiet) {
    std::cout << "uploaded " << Files(uploaded->files()) << ", "
              << Megabytes(uploaded->size_bytes()) << ": dataset "
              << Printable(uploaded->dataset_id()) << "\n";
  }
  return uploaded;
}

int FailUpload(const absl::Status& status) {
  if (!absl::IsCancelled(status)) return Fail(status);
  std::cerr << "proad: the upload was interrupted. The same command continues after the last "
               "complete file\n";
  return kInterrupted;
}

}  // namespace proad::client
