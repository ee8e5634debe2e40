#include "server/uploads/dataset_upload.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <span>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/dataset/dataset_root.h"
#include "server/uploads/upload_errors.h"
#include "server/uploads/upload_path.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDigestBytes = 32;
// Files between two flushes. A power cut loses at most these.
constexpr int64_t kFlushEvery = 256;

}  // namespace

DatasetUpload::DatasetUpload(DatasetStore& store, StoredDataset dataset, UploadJournal journal)
    : store_(store), dataset_(std::move(dataset)), journal_(std::move(journal)) {}

DatasetUpload::~DatasetUpload() {
  std::error_code ignored;
  fs::remove(directory() / kIncomingFile, ignored);
  // An error costs time only: the next stream compares digests.
  if (!dataset_.complete && unflushed_ > 0) Flush().IgnoreError();
  store_.Release(dataset_.id);
}

absl::Status DatasetUpload::CheckFile(absl::string_view path, int64_t bytes,
                                      absl::string_view sha256) const {
  if (incoming_) {
    return InvalidField(reason::kFileIncomplete, "file",
                        absl::StrCat(Quote(incoming_->path), " has ", incoming_->received, " of ",
                                     incoming_->bytes, " bytes; its chunks are expected"));
  }
  if (absl::Status status = CheckUploadPath(path); !status.ok()) return status;
  if (path <= dataset_.last_path) {
    return InvalidField(
        reason::kPathNotAscending, "file.path",
        absl::StrCat(Quote(path), " does not come after ", Quote(dataset_.last_path),
                     "; files come in ascending order of their paths' bytes"));
  }
  if (sha256.size() != kDigestBytes) {
    return InvalidField(
        reason::kDigestInvalid, "file.sha256",
        absl::StrCat("has ", sha256.size(), " bytes; ", kDigestBytes, " are expected"));
  }
  const DatasetStore::Options& options = store_.options();
  // Training could not read a larger image.
  const bool too_large_to_read =
      model::IsImageName(std::string(path)) && options.image.max_bytes < options.max_file_bytes;
  const int64_t limit = too_large_to_read ? options.image.max_bytes : options.max_file_bytes;
  const char* const key = too_large_to_read ? "image.max_bytes" : "training.uploads.max_file_bytes";
  if (bytes < 0 || bytes > limit) {
    return LimitExceeded(reason::kFileTooLarge,
                         absl::StrCat("file.size_bytes: ", Quote(path), " has ", bytes,
                                      " bytes; at most ", limit, " are accepted (", key, ")"));
  }
  if (dataset_.files + 1 > options.max_files ||
      dataset_.bytes + bytes > options.max_dataset_bytes) {
    return LimitExceeded(
        reason::kDatasetTooLarge,
        absl::StrCat("with ", Quote(path), " the dataset has more than ", options.max_files,
                     " files or ", options.max_dataset_bytes, " bytes"));
  }
  return store_.CheckFree(bytes);
}

absl::Status DatasetUpload::StartFile(absl::string_view path, int64_t bytes,
                                      absl::string_view sha256) {
  if (absl::Status status = CheckFile(path, bytes, sha256); !status.ok()) return status;
  const fs::path file = directory() / kIncomingFile;
  FileDescriptor descriptor(
      open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!descriptor.ok()) return FileFailed(file, "create", errno);
  incoming_ = std::make_unique<Incoming>();
  incoming_->path = std::string(path);
  incoming_->sha256 = absl::BytesToHexString(sha256);
  incoming_->bytes = bytes;
  incoming_->file = std::move(descriptor);
  return bytes == 0 ? EndFile() : absl::OkStatus();
}

absl::Status DatasetUpload::Append(absl::string_view chunk) {
  if (!incoming_) {
    return InvalidField(reason::kChunkWithoutFile, "chunk",
                        "no file is announced, or the file is complete already");
  }
  if (static_cast<int64_t>(chunk.size()) > incoming_->bytes - incoming_->received) {
    return InvalidField(reason::kFileTooLong, "chunk",
                        absl::StrCat(Quote(incoming_->path), " is longer than the ",
                                     incoming_->bytes, " bytes that were announced"));
  }
  for (absl::string_view left = chunk; !left.empty();) {
    const ssize_t written = write(incoming_->file.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileFailed(directory() / kIncomingFile, "write", errno);
    left.remove_prefix(static_cast<size_t>(written));
  }
  incoming_->digest.Add(std::as_bytes(std::span(chunk.data(), chunk.size())));
  incoming_->received += static_cast<int64_t>(chunk.size());
  return incoming_->received == incoming_->bytes ? EndFile() : absl::OkStatus();
}

absl::Status DatasetUpload::EndFile() {
  const std::unique_ptr<Incoming> file = std::exchange(incoming_, nullptr);
  if (file->digest.Hex() != file->sha256) {
    return InvalidField(reason::kDigestMismatch, "file.sha256",
                        absl::StrCat("the content of ", Quote(file->path),
                                     " does not have the announced SHA-256; send it again"));
  }
  const fs::path files = store_.Files(dataset_.id);
  const absl::StatusOr<FileDescriptor> folder = OpenUploadFolder(files, file->path);
  if (!folder.ok()) return folder.status();
  const fs::path incoming = directory() / kIncomingFile;
  if (renameat(AT_FDCWD, incoming.c_str(), folder->get(),
               fs::path(file->path).filename().c_str()) != 0) {
    return FileFailed(files / file->path, "move into place", errno);
  }
  if (absl::Status status = journal_.Add({file->path, file->bytes, file->sha256}); !status.ok()) {
    return status;
  }
  ++dataset_.files;
  dataset_.bytes += file->bytes;
  dataset_.last_path = file->path;
  return ++unflushed_ < kFlushEvery ? absl::OkStatus() : Flush();
}

absl::Status DatasetUpload::Finish(int64_t files) {
  if (incoming_) {
    return InvalidField(reason::kFileIncomplete, "finish",
                        absl::StrCat(Quote(incoming_->path), " has ", incoming_->received, " of ",
                                     incoming_->bytes, " bytes"));
  }
  if (files != dataset_.files) {
    return InvalidField(reason::kFileCountMismatch, "finish.files",
                        absl::StrCat(files, " files are announced, ", dataset_.files,
                                     " received; the upload stays open"));
  }
  if (absl::Status status = Flush(); !status.ok()) return status;
  if (absl::Status status = journal_.MarkComplete(); !status.ok()) return status;
  dataset_.complete = true;
  TouchFile(directory() / kUsedFile);
  dataset_.expires = absl::Now() + store_.options().keep_unused;
  return absl::OkStatus();
}

absl::Status DatasetUpload::Flush() {
  // syncfs flushes hundreds of small files in one call; they lie on the disk of this folder.
  const FileDescriptor folder(open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || syncfs(folder.get()) != 0) return FileFailed(directory(), "flush", errno);
  unflushed_ = 0;
  return journal_.MarkFlushed();
}

}  // namespace proad::server
