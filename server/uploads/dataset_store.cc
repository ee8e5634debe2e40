#include "server/uploads/dataset_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "model/files/atomic_file.h"
#include "model/files/strict_json.h"
#include "model/spec/manifest.h"
#include "model/spec/version_directory.h"
#include "server/util/file_errors.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

// No dataset is named like these.
constexpr char kJournal[] = ".journal";
constexpr char kIncoming[] = ".incoming";
constexpr char kUsed[] = ".used";
constexpr char kRemovedPrefix[] = ".removed-";
constexpr size_t kMaxPath = 512;
constexpr size_t kMaxPart = 255;  // what file systems take
constexpr size_t kDigestBytes = 32;
// Files between two flushes: what a power cut may cost.
constexpr int64_t kFlushEvery = 256;

// Pictures, lists of them, what is said about them, and nothing else.
constexpr std::array kEndings = {".bmp", ".csv", ".jpeg", ".jpg", ".json", ".md",
                                 ".png", ".tif", ".tiff", ".txt", ".webp"};

absl::Status Refuse(absl::StatusCode code, const std::string& reason, const std::string& field,
                    const std::string& message) {
  return MakeError(code, absl::StrCat(field, ": ", message), {.reason = reason, .field = field});
}

absl::Status Invalid(const std::string& reason, const std::string& field,
                     const std::string& message) {
  return Refuse(absl::StatusCode::kInvalidArgument, reason, field, message);
}

absl::Status Exhausted(const std::string& reason, const std::string& message) {
  return MakeError(absl::StatusCode::kResourceExhausted, message, {.reason = reason});
}

bool HasKnownEnding(absl::string_view path) {
  const std::string lower = absl::AsciiStrToLower(path);
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](const char* ending) { return absl::EndsWith(lower, ending); });
}

// "" where `path` can be a file of a dataset, otherwise what is wrong with it.
std::string ProblemOf(absl::string_view path) {
  if (path.empty() || path.size() > kMaxPath) {
    return absl::StrCat("has ", path.size(), " bytes; 1 to ", kMaxPath, " are expected");
  }
  if (path.find('\0') != absl::string_view::npos) return "holds a NUL";
  if (!model::IsUtf8(std::string(path))) return "is not UTF-8";
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty()) return "has an empty part; a path within the dataset is expected";
    if (part == "." || part == "..") return "leads elsewhere; \".\" and \"..\" are not accepted";
    if (part[0] == '.') return "has a part that begins with a dot, which no dataset reads";
    if (part.size() > kMaxPart) {
      return absl::StrCat("has a part of ", part.size(), " bytes; at most ", kMaxPart,
                          " are accepted");
    }
  }
  if (!HasKnownEnding(path)) {
    return absl::StrCat("is of no type that is accepted: ", absl::StrJoin(kEndings, ", "));
  }
  return "";
}

// The folder of `path` below `root`, made as far as it is missing. Follows no link.
absl::StatusOr<FileDescriptor> OpenFolderOf(const fs::path& root, const std::string& path) {
  constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  FileDescriptor folder(open(root.c_str(), kFolder));
  if (!folder.ok()) return FileFailed(root, "open", errno);
  const fs::path relative = fs::path(path).parent_path();
  for (const fs::path& part : relative) {
    if (mkdirat(folder.get(), part.c_str(), 0777) != 0 && errno != EEXIST) {
      return FileFailed(root / relative, "make", errno);
    }
    FileDescriptor next(openat(folder.get(), part.c_str(), kFolder));
    if (!next.ok() && (errno == ENOTDIR || errno == ELOOP)) {
      return Invalid(reason::kPathInvalid, "file.path",
                     absl::StrCat(Quote(path), " lies in ", Quote(part.string()),
                                  ", which is no folder of the dataset"));
    }
    if (!next.ok()) return FileFailed(root / relative, "open", errno);
    folder = std::move(next);
  }
  return folder;
}

bool IsWhole(const fs::path& path, const UploadedFile& file) {
  std::error_code error;
  if (fs::is_symlink(path, error)) return false;
  if (static_cast<int64_t>(fs::file_size(path, error)) != file.bytes || error) return false;
  try {
    return model::Sha256File(path) == file.sha256;
  } catch (const std::exception&) {
    return false;
  }
}

// Leaves in `record` what is whole. Returns where the journal goes on.
int64_t DropTorn(const fs::path& files, UploadRecord& record) {
  size_t whole = record.flushed;
  while (whole < record.files.size() &&
         IsWhole(files / record.files[whole].path, record.files[whole])) {
    ++whole;
  }
  if (whole == record.files.size()) return record.end;
  record.files.resize(whole);
  record.ends.resize(whole);
  return whole == 0 ? 0 : record.ends.back();
}

// Removes what a stream left that ended between moving a file into its place and writing it down,
// and what a power cut tore. Links are removed, not followed.
absl::Status RemoveUnknown(const fs::path& files, const UploadRecord& record) {
  std::set<std::string> known;
  for (const UploadedFile& file : record.files) known.insert(file.path);
  std::vector<fs::path> unknown, folders;
  std::error_code error;
  for (fs::recursive_directory_iterator it(files, error), end; !error && it != end;
       it.increment(error)) {
    if (it->symlink_status().type() == fs::file_type::directory) {
      folders.push_back(it->path());
    } else if (!known.contains(it->path().lexically_relative(files).string())) {
      unknown.push_back(it->path());
    }
  }
  for (const fs::path& path : unknown) {
    if (!error) fs::remove(path, error);
  }
  // An empty folder would read as a category. What still holds something is not removed.
  std::error_code ignored;
  for (auto it = folders.rbegin(); it != folders.rend(); ++it) fs::remove(*it, ignored);
  return error ? FileFailed(files, "tidy up", error.value()) : absl::OkStatus();
}

void Touch(const fs::path& path) {
  const FileDescriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (file.ok()) futimens(file.get(), nullptr);
}

absl::Time LastUse(const fs::path& directory) {
  struct stat status = {};
  if (stat((directory / kUsed).c_str(), &status) != 0 && stat(directory.c_str(), &status) != 0) {
    return absl::InfiniteFuture();  // it is not there: nothing to remove
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

DatasetStore::DatasetStore(const Options& options) : options_(options) {}

absl::StatusOr<std::unique_ptr<DatasetUpload>> DatasetStore::Begin(const std::string& id,
                                                                   int64_t total_bytes,
                                                                   int64_t total_files) {
  if (!model::IsValidName(id)) {
    return Invalid(reason::kNameInvalid, "start.dataset_id",
                   absl::StrCat(Quote(id),
                                " is not a name: up to 64 of a-z, 0-9, '-', '_' and "
                                "'.', beginning with a letter or a digit"));
  }
  if (total_bytes > options_.max_dataset_bytes || total_files > options_.max_files) {
    return Exhausted(reason::kDatasetTooLarge,
                     absl::StrCat("a dataset has at most ", options_.max_files, " files and ",
                                  options_.max_dataset_bytes, " bytes here; announced are ",
                                  total_files, " files and ", total_bytes, " bytes"));
  }
  if (absl::Status status = Reserve(id); !status.ok()) return status;
  auto upload = Continue(id, total_bytes);
  if (!upload.ok()) Release(id);
  return upload;
}

absl::StatusOr<std::unique_ptr<DatasetUpload>> DatasetStore::Continue(const std::string& id,
                                                                      int64_t total_bytes) {
  const fs::path path = Directory(id) / kJournal;
  absl::StatusOr<UploadRecord> found = ReadUploadJournal(path);
  UploadRecord record = found.ok() ? *std::move(found) : UploadRecord{};
  if (record.complete) {
    return Refuse(absl::StatusCode::kAlreadyExists, reason::kDatasetComplete, "start.dataset_id",
                  absl::StrCat(Quote(id), " is complete and does not change any more"));
  }
  std::error_code error;
  fs::create_directories(options_.root, error);
  if (error) return FileFailed(options_.root, "make", error.value());
  const int64_t missing = std::max<int64_t>(total_bytes - record.bytes(), 0);
  if (absl::Status status = CheckFree(missing); !status.ok()) return status;
  fs::create_directories(Files(id), error);
  if (error) return FileFailed(Files(id), "make", error.value());
  Touch(Directory(id) / kUsed);
  const int64_t end = DropTorn(Files(id), record);
  if (absl::Status status = RemoveUnknown(Files(id), record); !status.ok()) return status;
  absl::StatusOr<UploadJournal> journal =
      found.ok() ? UploadJournal::Continue(path, end) : UploadJournal::Create(path);
  if (!journal.ok()) return journal.status();
  const StoredDataset dataset = Describe(id, record, absl::Now() + options_.keep_unused);
  return std::unique_ptr<DatasetUpload>(new DatasetUpload(*this, dataset, *std::move(journal)));
}

absl::StatusOr<StoredDataset> DatasetStore::Find(const std::string& id) const {
  if (!model::IsValidName(id)) return UnknownDataset(id);
  const absl::StatusOr<UploadRecord> record = ReadUploadJournal(Directory(id) / kJournal);
  if (!record.ok()) return UnknownDataset(id);
  return Describe(id, *record, LastUse(Directory(id)) + options_.keep_unused);
}

absl::StatusOr<fs::path> DatasetStore::Open(const std::string& id) const {
  const absl::StatusOr<StoredDataset> dataset = Find(id);
  if (!dataset.ok()) return dataset.status();
  if (!dataset->complete) {
    return Refuse(absl::StatusCode::kFailedPrecondition, reason::kDatasetIncomplete,
                  "spec.dataset_id",
                  absl::StrCat(Quote(id), " is not complete: ", dataset->files,
                               " files have come; go on with the upload and finish it"));
  }
  Touch(Directory(id) / kUsed);
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
    return 0;  // nothing was uploaded yet, or the next look will tell
  }
  for (const std::string& id : names) {
    if (LastUse(Directory(id)) + options_.keep_unused > now || !Reserve(id).ok()) continue;
    // Out of sight in one step, so that a job finds all of it or nothing.
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
    // Then none is known.
  }
  std::erase_if(known, [&](const std::string& name) {
    std::error_code ignored;
    return !fs::exists(Directory(name) / kJournal, ignored);
  });
  return Refuse(
      absl::StatusCode::kNotFound, reason::kDatasetNotFound, "spec.dataset_id",
      absl::StrCat("there is no uploaded dataset ", Quote(id), "; there are: ", Enumerate(known)));
}

absl::Status DatasetStore::CheckFree(int64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(options_.root, error);
  if (error) return FileFailed(options_.root, "measure", error.value());
  const auto free = static_cast<int64_t>(std::min<uintmax_t>(space.available, INT64_MAX));
  if (free - bytes >= options_.min_free_bytes) return absl::OkStatus();
  return Exhausted(reason::kDiskFull,
                   absl::StrCat("the disk of uploaded datasets has ", free, " bytes free; ", bytes,
                                " more must leave ", options_.min_free_bytes));
}

absl::Status DatasetStore::Reserve(const std::string& id) {
  MutexLock lock(mutex_);
  if (uploading_.contains(id)) {
    return Refuse(absl::StatusCode::kAborted, reason::kUploadUnderWay, "start.dataset_id",
                  absl::StrCat("another stream is uploading ", Quote(id)));
  }
  if (uploading_.size() >= static_cast<size_t>(options_.max_uploads)) {
    return MakeError(absl::StatusCode::kResourceExhausted,
                     absl::StrCat(options_.max_uploads,
                                  " uploads are under way, as many as this "
                                  "server takes at once"),
                     {.reason = reason::kTooManyUploads, .retry_after = absl::Seconds(5)});
  }
  uploading_.insert(id);
  return absl::OkStatus();
}

void DatasetStore::Release(const std::string& id) {
  MutexLock lock(mutex_);
  uploading_.erase(id);
}

DatasetUpload::DatasetUpload(DatasetStore& store, StoredDataset dataset, UploadJournal journal)
    : store_(store), dataset_(std::move(dataset)), journal_(std::move(journal)) {}

DatasetUpload::~DatasetUpload() {
  std::error_code ignored;
  fs::remove(directory() / kIncoming, ignored);
  // Best effort: without it the next stream compares digests.
  if (!dataset_.complete && unflushed_ > 0) Flush().IgnoreError();
  store_.Release(dataset_.id);
}

absl::Status DatasetUpload::CheckFile(absl::string_view path, int64_t bytes,
                                      absl::string_view sha256) const {
  if (incoming_) {
    return Invalid(reason::kFileIncomplete, "file",
                   absl::StrCat(Quote(incoming_->path), " has ", incoming_->got, " of ",
                                incoming_->bytes, " bytes; its chunks are expected"));
  }
  if (const std::string problem = ProblemOf(path); !problem.empty()) {
    return Invalid(reason::kPathInvalid, "file.path", absl::StrCat(Quote(path), " ", problem));
  }
  if (path <= dataset_.last_path) {
    return Invalid(reason::kPathNotAscending, "file.path",
                   absl::StrCat(Quote(path), " does not come after ", Quote(dataset_.last_path),
                                "; files come in ascending order of their paths' bytes"));
  }
  if (sha256.size() != kDigestBytes) {
    return Invalid(reason::kDigestInvalid, "file.sha256",
                   absl::StrCat("has ", sha256.size(), " bytes; ", kDigestBytes, " are expected"));
  }
  const DatasetStore::Options& options = store_.options();
  if (bytes < 0 || bytes > options.max_file_bytes) {
    return Exhausted(reason::kFileTooLarge,
                     absl::StrCat("file.size_bytes: ", Quote(path), " has ", bytes,
                                  " bytes; at most ", options.max_file_bytes, " are accepted"));
  }
  if (dataset_.files + 1 > options.max_files ||
      dataset_.bytes + bytes > options.max_dataset_bytes) {
    return Exhausted(
        reason::kDatasetTooLarge,
        absl::StrCat("with ", Quote(path), " the dataset has more than ", options.max_files,
                     " files or ", options.max_dataset_bytes, " bytes"));
  }
  return store_.CheckFree(bytes);
}

absl::Status DatasetUpload::StartFile(absl::string_view path, int64_t bytes,
                                      absl::string_view sha256) {
  if (absl::Status status = CheckFile(path, bytes, sha256); !status.ok()) return status;
  const fs::path file = directory() / kIncoming;
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
    return Invalid(reason::kChunkWithoutFile, "chunk",
                   "no file was announced, or it is whole already");
  }
  if (static_cast<int64_t>(chunk.size()) > incoming_->bytes - incoming_->got) {
    return Invalid(reason::kFileTooLong, "chunk",
                   absl::StrCat(Quote(incoming_->path), " is longer than the ", incoming_->bytes,
                                " bytes that were announced"));
  }
  for (absl::string_view left = chunk; !left.empty();) {
    const ssize_t written = write(incoming_->file.get(), left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return FileFailed(directory() / kIncoming, "write", errno);
    left.remove_prefix(static_cast<size_t>(written));
  }
  incoming_->digest.Add(std::as_bytes(std::span(chunk.data(), chunk.size())));
  incoming_->got += static_cast<int64_t>(chunk.size());
  return incoming_->got == incoming_->bytes ? EndFile() : absl::OkStatus();
}

absl::Status DatasetUpload::EndFile() {
  const std::unique_ptr<Incoming> file = std::exchange(incoming_, nullptr);
  if (file->digest.Hex() != file->sha256) {
    return Invalid(reason::kDigestMismatch, "file.sha256",
                   absl::StrCat("the content of ", Quote(file->path),
                                " does not have the announced SHA-256; send it again"));
  }
  const fs::path files = store_.Files(dataset_.id);
  const absl::StatusOr<FileDescriptor> folder = OpenFolderOf(files, file->path);
  if (!folder.ok()) return folder.status();
  const fs::path incoming = directory() / kIncoming;
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
    return Invalid(reason::kFileIncomplete, "finish",
                   absl::StrCat(Quote(incoming_->path), " has ", incoming_->got, " of ",
                                incoming_->bytes, " bytes"));
  }
  if (files != dataset_.files) {
    return Invalid(reason::kFileCountMismatch, "finish.files",
                   absl::StrCat(files, " files are announced, ", dataset_.files,
                                " have come; the upload stays open"));
  }
  if (absl::Status status = Flush(); !status.ok()) return status;
  if (absl::Status status = journal_.MarkComplete(); !status.ok()) return status;
  dataset_.complete = true;
  Touch(directory() / kUsed);
  dataset_.expires = absl::Now() + store_.options().keep_unused;
  return absl::OkStatus();
}

absl::Status DatasetUpload::Flush() {
  // One call for hundreds of small files; all of them lie on the disk of this folder.
  const FileDescriptor folder(open(directory().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || syncfs(folder.get()) != 0) return FileFailed(directory(), "flush", errno);
  unflushed_ = 0;
  return journal_.MarkFlushed();
}

}  // namespace proad::server
