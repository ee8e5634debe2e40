// The datasets that clients uploaded: DATASETS/ID/.
//
//   ID/         the files, where model::OpenDataset finds them; a folder without categories is one
//               category with the name of the dataset
//   .journal    the complete files (upload_journal.h)
//   .incoming   the file that is being received; removed when its stream ends
//   .used       touched at every use: its age decides when the dataset is removed
//
// A file is written to .incoming, compared with its digest, renamed into its place, and then added
// to the journal. After a crash the files of the journal are complete, and the next stream of the
// upload removes every other file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image_limits.h"
#include "server/util/mutex.h"

namespace proad::server {

// Names of files within the directory of a dataset. No dataset has one of these names.
inline constexpr char kJournalFile[] = ".journal";
inline constexpr char kIncomingFile[] = ".incoming";
inline constexpr char kUsedFile[] = ".used";

// Sets the times of a file to now, and creates the file when absent. Ignores errors.
void TouchFile(const std::filesystem::path& path);

// A dataset of the store. Counts complete files only.
struct StoredDataset {
  std::string id;
  bool complete = false;
  int64_t files = 0;
  int64_t bytes = 0;
  std::string last_path;  // of the last complete file; "" when there is none
  absl::Time expires = absl::InfiniteFuture();
};

class DatasetUpload;

// Thread-safety: all methods may be called from any thread. They read and write the disk. One
// process per root.
class DatasetStore {
 public:
  struct Options {
    std::filesystem::path root;   // created when absent
    int64_t max_files = 200'000;  // of a dataset
    int64_t max_file_bytes = int64_t{64} << 20;
    model::ImageLimits image;  // its max_bytes is a limit of image files, too
    int64_t max_dataset_bytes = int64_t{64} << 30;
    int64_t min_free_bytes = int64_t{1} << 30;  // left free on the disk by uploads
    int max_uploads = 8;                        // at once
    absl::Duration keep_unused = absl::Hours(24 * 7);
  };

  explicit DatasetStore(const Options& options);

  // Begins or continues an upload, which must not outlive the store. A total of 0 is unknown.
  //   INVALID_ARGUMENT    `id` is not a name
  //   ALREADY_EXISTS      the dataset is complete
  //   ABORTED             another stream uploads the dataset
  //   RESOURCE_EXHAUSTED  the totals exceed a limit, too many uploads, or the disk is full
  absl::StatusOr<std::unique_ptr<DatasetUpload>> Begin(const std::string& id, int64_t total_bytes,
                                                       int64_t total_files);

  // NOT_FOUND; the message lists known datasets, up to a bound.
  absl::StatusOr<StoredDataset> Find(const std::string& id) const;

  // The folder of a complete dataset. Counts as a use: the dataset is kept for another
  // Options::keep_unused. NOT_FOUND; FAILED_PRECONDITION for an incomplete dataset.
  absl::StatusOr<std::filesystem::path> Open(const std::string& id) const;

  // Removes the datasets that were not used within Options::keep_unused before `now`. Returns their
  // number.
  int RemoveExpired(absl::Time now);

  const Options& options() const { return options_; }

 private:
  friend class DatasetUpload;

  std::filesystem::path Directory(const std::string& id) const { return options_.root / id; }
  std::filesystem::path Files(const std::string& id) const { return Directory(id) / id; }
  // Begin, after Reserve.
  absl::StatusOr<std::unique_ptr<DatasetUpload>> Continue(const std::string& id,
                                                          int64_t total_bytes);
  absl::Status UnknownDataset(const std::string& id) const;
  // RESOURCE_EXHAUSTED (DISK_FULL) when `bytes` more would leave less than Options::min_free_bytes.
  absl::Status CheckFree(int64_t bytes) const;
  absl::Status Reserve(const std::string& id);
  void Release(const std::string& id);

  const Options options_;
  Mutex mutex_;
  std::set<std::string> uploading_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
