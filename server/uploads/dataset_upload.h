// The upload of one dataset by one stream.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "model/files/sha256.h"
#include "server/uploads/dataset_store.h"
#include "server/uploads/upload_journal.h"
#include "server/util/file_errors.h"

namespace proad::server {

// Made by DatasetStore::Begin; must not outlive the store. Not thread-safe. The destructor removes
// the file that is incomplete and keeps the complete ones. After an error no other method may be
// called.
class DatasetUpload {
 public:
  ~DatasetUpload();
  DatasetUpload(const DatasetUpload&) = delete;
  DatasetUpload& operator=(const DatasetUpload&) = delete;

  // Announces a file of `bytes` bytes; `sha256` has 32 bytes. The file is complete when Append has
  // received its last byte, a file of 0 bytes at once.
  //   INVALID_ARGUMENT    the previous file is incomplete, or the path or the digest is not valid;
  //                       the field is one of UploadFile
  //   RESOURCE_EXHAUSTED  the size exceeds a limit, which the message states, or the disk is full
  absl::Status StartFile(absl::string_view path, int64_t bytes, absl::string_view sha256);

  // Writes the next bytes of the file. INVALID_ARGUMENT when no file is announced, when the file
  // has more bytes than announced, or when its digest differs; RESOURCE_EXHAUSTED when the disk is
  // full.
  absl::Status Append(absl::string_view chunk);

  // Marks the dataset as complete: it does not change any more. INVALID_ARGUMENT when a file is
  // incomplete or `files` is not the number of files.
  absl::Status Finish(int64_t files);

  const StoredDataset& dataset() const { return dataset_; }

 private:
  friend class DatasetStore;

  // The file that is being received.
  struct Incoming {
    std::string path;
    std::string sha256;    // hex, as announced
    int64_t bytes = 0;     // as announced
    int64_t received = 0;  // bytes
    FileDescriptor file;
    model::Sha256 digest;
  };

  DatasetUpload(DatasetStore& store, StoredDataset dataset, UploadJournal journal);

  absl::Status CheckFile(absl::string_view path, int64_t bytes, absl::string_view sha256) const;
  absl::Status EndFile();
  absl::Status Flush();
  std::filesystem::path directory() const { return store_.Directory(dataset_.id); }

  DatasetStore& store_;
  StoredDataset dataset_;
  UploadJournal journal_;
  std::unique_ptr<Incoming> incoming_;  // null: none
  int64_t unflushed_ = 0;               // files since the last flush
};

}  // namespace proad::server
