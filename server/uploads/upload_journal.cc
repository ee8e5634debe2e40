#include "server/uploads/upload_journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace proad::server {
namespace {

constexpr char kFlushed[] = "flushed";
constexpr char kComplete[] = "complete";
constexpr size_t kDigestLength = 64;

bool IsDigest(absl::string_view text) {
  return text.size() == kDigestLength &&
         std::all_of(text.begin(), text.end(), absl::ascii_isxdigit);
}

std::optional<UploadedFile> ParseFile(absl::string_view line) {
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 2));
  UploadedFile file;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &file.bytes) || file.bytes < 0 ||
      !IsDigest(parts[1]) || !absl::CUnescape(parts[2], &file.path) || file.path.empty()) {
    return std::nullopt;
  }
  file.sha256 = std::string(parts[1]);
  return file;
}

}  // namespace

int64_t UploadRecord::bytes() const {
  int64_t bytes = 0;
  for (const UploadedFile& file : files) bytes += file.bytes;
  return bytes;
}

absl::StatusOr<UploadRecord> ReadUploadJournal(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read"));
  UploadRecord record;
  std::string line;
  // getline reaches the end of the file only on a line without its end, which does not count.
  while (std::getline(in, line) && !in.eof()) {
    const int64_t end = record.end + static_cast<int64_t>(line.size()) + 1;
    if (line == kFlushed) {
      record.flushed = record.files.size();
    } else if (line == kComplete) {
      record.complete = true;
    } else if (std::optional<UploadedFile> file = ParseFile(line)) {
      record.files.push_back(*std::move(file));
      record.ends.push_back(end);
    } else {
      break;
    }
    record.end = end;
    if (record.complete) break;
  }
  return record;
}

absl::StatusOr<UploadJournal> UploadJournal::Create(const std::filesystem::path& path) {
  FileDescriptor file(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666));
  if (!file.ok()) return FileFailed(path, "create", errno);
  const FileDescriptor folder(open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok() || fsync(file.get()) != 0 || fsync(folder.get()) != 0) {
    return FileFailed(path, "flush", errno);
  }
  return UploadJournal(path, std::move(file));
}

absl::StatusOr<UploadJournal> UploadJournal::Continue(const std::filesystem::path& path,
                                                      int64_t end) {
  FileDescriptor file(open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
  if (!file.ok()) return FileFailed(path, "open", errno);
  if (ftruncate(file.get(), end) != 0) return FileFailed(path, "shorten", errno);
  return UploadJournal(path, std::move(file));
}

absl::Status UploadJournal::Add(const UploadedFile& file) {
  return Append(
      absl::StrCat(file.bytes, " ", file.sha256, " ", absl::Utf8SafeCEscape(file.path), "\n"));
}

absl::Status UploadJournal::MarkFlushed() {
  if (absl::Status status = Append(absl::StrCat(kFlushed, "\n")); !status.ok()) return status;
  return Flush();
}

absl::Status UploadJournal::MarkComplete() {
  if (absl::Status status = Append(absl::StrCat(kComplete, "\n")); !status.ok()) return status;
  return Flush();
}

absl::Status UploadJournal::Append(const std::string& line) {
  // A full disk cuts a line off. The rest must not become the begin of the next line.
  const off_t start = lseek(file_.get(), 0, SEEK_END);
  const ssize_t written = write(file_.get(), line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) return absl::OkStatus();
  const int error = written < 0 ? errno : ENOSPC;
  if (ftruncate(file_.get(), start) != 0) return FileFailed(path_, "shorten", errno);
  return FileFailed(path_, "write", error);
}

absl::Status UploadJournal::Flush() {
  if (fdatasync(file_.get()) != 0) return FileFailed(path_, "flush", errno);
  return absl::OkStatus();
}

}  // namespace proad::server
