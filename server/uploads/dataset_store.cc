#include "server/uploads/dataset_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/files/atomic_file.h"
#include "model/spec/manifest.h"
#include "model/spec/version_directory.h"
#include "server/uploads/dataset_upload.h"
#include "server/uploads/upload_errors.h"
#include "server/uploads/upload_recovery.h"
#include "server/util/file_errors.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

// Hides a dataset that is being removed: no name of a dataset begins like this.
constexpr char kRemovedPrefix[] = ".removed-";

absl::Time LastUse(const fs::path& directory) {
  struct stat status = {};
  if (stat((directory / kUsedFile).c_str(), &status) != 0 &&
      stat(directory.c_str(), &status) != 0) {
    return absl::InfiniteFuture();  // there is nothing to remove
  }
  return absl::TimeFromTimespec(status.st_mtim);
}

StoredDataset Describe(const std::string& id, const UploadRecord& record, absl::Time expires) {
  StoredDataset dataset{.id = id, .complete = record.complete, .expires = expires};
  dataset.files = static_cast<int64_t>(record.files.size());
  dataset.bytes = record.bytes();
  if (!record.files.empty()) dataset.last_path = record.files.back().path;
  return dataset;
}

}  // namespace

void TouchFile(const fs::path& path) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.ok()) futimens(file.get(), nullptr);
}

DatasetStore::DatasetStore(const Options& options) : options_(options) {}

absl::StatusOr<std::unique_ptr<DatasetUpload>> DatasetStore::Begin(const std::string& id,
                                                                   int64_t total_bytes,
                                                                   int64_t total_files) {
  if (!model::IsValidName(id)) {
    return InvalidField(reason::kNameInvalid, "start.dataset_id",
                        absl::StrCat(Quote(id),
                                     " is not a name: up to 64 of a-z, 0-9, '-', '_' and "
                                     "'.', beginning with a letter or a digit"));
  }
  if (total_bytes > options_.max_dataset_bytes || total_files > options_.max_files) {
    return LimitExceeded(reason::kDatasetTooLarge,
                         absl::StrCat("a dataset has at most ", options_.max_files, " files and ",
                                      options_.max_dataset_bytes, " bytes; the request announces ",
                                      total_files, " files and ", total_bytes, " bytes"));
  }
  if (absl::Status status = Reserve(id); !status.ok()) return status;
  auto upload = Continue(id, total_bytes);
  if (!upload.ok()) Release(id);
  return upload;
}

absl::StatusOr<std::unique_ptr<DatasetUpload>> DatasetStore::Continue(const std::string& id,
                                                                      int64_t total_bytes) {
  const fs::path path = Directory(id) / kJournalFile;
  absl::StatusOr<UploadRecord> found = ReadUploadJournal(path);
  const bool continues = found.ok();
  UploadRecord record = continues ? *std::move(found) : UploadRecord{};
  if (record.complete) {
    return FieldError(absl::StatusCode::kAlreadyExists, reason::kDatasetComplete,
                      "start.dataset_id",
                      absl::StrCat(Quote(id), " is complete and cannot change"));
  }
  std::error_code error;
  fs::create_directories(options_.root, error);
  if (error) return FileFailed(options_.root, "create", error.value());
  const int64_t missing = std::max<int64_t>(total_bytes - record.bytes(), 0);
  if (absl::Status status = CheckFree(missing); !status.ok()) return status;
  fs::create_directories(Files(id), error);
  if (error) return FileFailed(Files(id), "create", error.value());
  TouchFile(Directory(id) / kUsedFile);
  const absl::StatusOr<int64_t> end = RecoverUpload(Files(id), record);
  if (!end.ok()) return end.status();
  absl::StatusOr<UploadJournal> journal =
      continues ? UploadJournal::Continue(path, *end) : UploadJournal::Create(path);
  if (!journal.ok()) return journal.status();
  const StoredDataset dataset = Describe(id, record, absl::Now() + options_.keep_unused);
  return std::unique_ptr<DatasetUpload>(new DatasetUpload(*this, dataset, *std::move(journal)));
}

absl::StatusOr<StoredDataset> DatasetStore::Find(const std::string& id) const {
  if (!model::IsValidName(id)) return UnknownDataset(id);
  const absl::StatusOr<UploadRecord> record = ReadUploadJournal(Directory(id) / kJournalFile);
  if (!record.ok()) return UnknownDataset(id);
  return Describe(id, *record, LastUse(Directory(id)) + options_.keep_unused);
}

absl::StatusOr<fs::path> DatasetStore::Open(const std::string& id) const {
  const absl::StatusOr<StoredDataset> dataset = Find(id);
  if (!dataset.ok()) return dataset.status();
  if (!dataset->complete) {
    return FieldError(absl::StatusCode::kFailedPrecondition, reason::kDatasetIncomplete,
                      "spec.dataset_id",
                      absl::StrCat(Quote(id), " is not complete: ", dataset->files,
                                   " files were received; continue the upload and finish it"));
  }
  TouchFile(Directory(id) / kUsedFile);
  return Files(id);
}

int DatasetStore::RemoveExpired(absl::Time now) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.root, error)) {
    if (entry.path().filename().string().starts_with(kRemovedPrefix)) {
      fs::remove_all(entry.path(), error);
    }
  }
  int removed = 0;
  std::vector<std::string> names;
  try {
    names = model::ListNames(options_.root);
  } catch (const std::exception&) {
    return 0;  // no dataset was uploaded yet, or the next call finds it
  }
  for (const std::string& id : names) {
    if (LastUse(Directory(id)) + options_.keep_unused > now || !Reserve(id).ok()) continue;
    // Hidden by one rename, so that a job finds the complete dataset or none.
    const fs::path hidden = options_.root / model::UniqueName(kRemovedPrefix);
    fs::rename(Directory(id), hidden, error);
    if (!error) {
      fs::remove_all(hidden, error);
      ++removed;
    }
    Release(id);
  }
  return removed;
}

absl::Status DatasetStore::UnknownDataset(const std::string& id) const {
  std::vector<std::string> known;
  try {
    known = model::ListNames(options_.root);
  } catch (const std::exception&) {
    // The message lists none then.
  }
  std::erase_if(known, [&](const std::string& name) {
    std::error_code ignored;
    return !fs::exists(Directory(name) / kJournalFile, ignored);
  });
  return FieldError(
      absl::StatusCode::kNotFound, reason::kDatasetNotFound, "spec.dataset_id",
      absl::StrCat("there is no uploaded dataset ", Quote(id), "; there are: ", Enumerate(known)));
}

absl::Status DatasetStore::CheckFree(int64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(options_.root, error);
  if (error) return FileFailed(options_.root, "measure", error.value());
  const auto free = static_cast<int64_t>(std::min<uintmax_t>(space.available, INT64_MAX));
  if (free - bytes >= options_.min_free_bytes) return absl::OkStatus();
  return LimitExceeded(reason::kDiskFull,
                       absl::StrCat("the disk of uploaded datasets has ", free, " bytes free; ",
                                    bytes, " more must leave ", options_.min_free_bytes));
}

absl::Status DatasetStore::Reserve(const std::string& id) {
  MutexLock lock(mutex_);
  if (uploading_.contains(id)) {
    return FieldError(absl::StatusCode::kAborted, reason::kUploadUnderWay, "start.dataset_id",
                      absl::StrCat("another stream is uploading ", Quote(id)));
  }
  if (uploading_.size() >= static_cast<size_t>(options_.max_uploads)) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat(options_.max_uploads, " uploads are in progress, the limit"),
                     {.reason = reason::kTooManyUploads, .retry_after = absl::Seconds(5)});
  }
  uploading_.insert(id);
  return absl::OkStatus();
}

void DatasetStore::Release(const std::string& id) {
  MutexLock lock(mutex_);
  uploading_.erase(id);
}

}  // namespace proad::server
