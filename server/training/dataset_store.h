// Datasets that were uploaded: DATASETS/<id>/, filled file by file, complete or not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

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

// Thread-safety: all methods may be called from any thread; an Upload belongs to one at a time.
// They touch the disk.
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

  // One stream's upload. Its destructor drops the file that was under way; whole files stay.
  class Upload {
   public:
    virtual ~Upload() = default;
    // INVALID_ARGUMENT as UploadDataset says, RESOURCE_EXHAUSTED (limits, disk full).
    virtual absl::Status StartFile(absl::string_view path, int64_t bytes,
                                   absl::string_view sha256) = 0;
    virtual absl::Status Append(absl::string_view chunk) = 0;
    // The file under way becomes whole when its last byte arrived; this ends the dataset.
    virtual absl::Status Finish(int64_t files) = 0;
    virtual StoredDataset dataset() const = 0;
  };

  // Begins or continues. INVALID_ARGUMENT (name), ALREADY_EXISTS (complete), ABORTED (another
  // stream), RESOURCE_EXHAUSTED (total_bytes or total_files over the limits, too many uploads).
  absl::StatusOr<std::unique_ptr<Upload>> Begin(const std::string& id, int64_t total_bytes,
                                                int64_t total_files);

  // NOT_FOUND; lists known ones, bounded.
  absl::StatusOr<StoredDataset> Find(const std::string& id) const;

  // Where the pictures of a complete dataset lie. NOT_FOUND, FAILED_PRECONDITION (incomplete).
  // Counts as use: the dataset is kept for another Options::keep_unused.
  absl::StatusOr<std::filesystem::path> Open(const std::string& id) const;

  // Removes what was not used for so long, as of `now`. Returns how many.
  int RemoveExpired(absl::Time now);

 private:
  const Options options_;
};

}  // namespace proad::server
