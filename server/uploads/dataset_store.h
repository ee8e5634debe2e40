// Datasets that were uploaded: DATASETS/<id>/, filled file by file, complete or not.
//
//   <id>/       the pictures, where OpenDataset finds them; a folder without categories is one
//               category, named as the dataset
//   .journal    what is whole (upload_journal.h)
//   .incoming   the file that is under way; worth nothing once its stream is over
//   .used       touched whenever the dataset is used: its age decides when it is removed
//
// A file is written aside, compared with its digest, moved into its place, and then stands in the
// journal. After any end the files of the journal are whole, and an upload that goes on removes
// what is not in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "model/files/sha256.h"
#include "server/uploads/upload_journal.h"
#include "server/util/mutex.h"

namespace proad::server {

// What the store has of a dataset.
struct StoredDataset {
  std::string id;
  bool complete = false;
  int64_t files = 0;      // whole ones
  int64_t bytes = 0;      // of them
  std::string last_path;  // of the last whole file; "" when there is none
  absl::Time expires = absl::InfiniteFuture();
};

class DatasetUpload;

// Thread-safety: all methods may be called from any thread. They touch the disk. One process a
// root.
class DatasetStore {
 public:
  struct Options {
    std::filesystem::path root;   // made when absent
    int64_t max_files = 200'000;  // of a dataset
    int64_t max_file_bytes = int64_t{64} << 20;
    int64_t max_dataset_bytes = int64_t{64} << 30;
    int64_t min_free_bytes = int64_t{1} << 30;  // that an upload leaves on the disk
    int max_uploads = 8;                        // at once
    absl::Duration keep_unused = absl::Hours(24 * 7);
  };

  explicit DatasetStore(const Options& options);

  // Begins or continues an upload, which must not outlive the store. 0: not known.
  //   INVALID_ARGUMENT    not a name
  //   ALREADY_EXISTS      the dataset is complete
  //   ABORTED             another stream is uploading it
  //   RESOURCE_EXHAUSTED  more than the limits allow, too many uploads, or the disk is full
  absl::StatusOr<std::unique_ptr<DatasetUpload>> Begin(const std::string& id, int64_t total_bytes,
                                                       int64_t total_files);

  // NOT_FOUND; lists known ones, bounded.
  absl::StatusOr<StoredDataset> Find(const std::string& id) const;

  // Where the pictures of a complete dataset lie. NOT_FOUND, FAILED_PRECONDITION (incomplete).
  // Counts as use: the dataset is kept for another Options::keep_unused.
  absl::StatusOr<std::filesystem::path> Open(const std::string& id) const;

  // Removes what was not used for so long, as of `now`. Returns how many.
  int RemoveExpired(absl::Time now);

  const Options& options() const { return options_; }

 private:
  friend class DatasetUpload;

  std::filesystem::path Directory(const std::string& id) const { return options_.root / id; }
  std::filesystem::path Files(const std::string& id) const { return Directory(id) / id; }
  // Begin, once the dataset is reserved.
  absl::StatusOr<std::unique_ptr<DatasetUpload>> Continue(const std::string& id,
                                                          int64_t total_bytes);
  absl::Status UnknownDataset(const std::string& id) const;
  // RESOURCE_EXHAUSTED unless so many bytes more leave Options::min_free_bytes.
  absl::Status CheckFree(int64_t bytes) const;
  absl::Status Reserve(const std::string& id);
  void Release(const std::string& id);

  const Options options_;
  Mutex mutex_;
  std::set<std::string> uploading_ ABSL_GUARDED_BY(mutex_);
};

// One stream's upload. One thread at a time. Its destructor drops the file that was under way;
// whole files stay. After an error nothing more is taken.
class DatasetUpload {
 public:
  ~DatasetUpload();
  DatasetUpload(const DatasetUpload&) = delete;
  DatasetUpload& operator=(const DatasetUpload&) = delete;

  // `sha256`: 32 bytes. The file is whole when its last byte has come, an empty one at once.
  //   INVALID_ARGUMENT    the file before is not whole, or the path, the size or the digest is
  //                       impossible; names the field of UploadFile
  //   RESOURCE_EXHAUSTED  a limit, stated, or the disk is full
  absl::Status StartFile(absl::string_view path, int64_t bytes, absl::string_view sha256);
  absl::Status Append(absl::string_view chunk);
  // The dataset is complete, and does not change any more.
  absl::Status Finish(int64_t files);

  const StoredDataset& dataset() const { return dataset_; }

 private:
  friend class DatasetStore;

  // The file under way.
  struct Incoming {
    std::string path;
    std::string sha256;  // hex, as announced
    int64_t bytes = 0;   // as announced
    int64_t got = 0;
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
