// What an upload has brought: a line for each whole file, in the order in which they came.
//
//   <bytes> <SHA-256> <path, C-escaped>
//   flushed        what stands before is on the disk, whatever happens
//   complete       the dataset does not change any more
//
// A line is written when its file is whole and in its place, so it survives the death of the
// process. The power may fail between a file and the next "flushed": files after the last one are
// to be compared with their digests before they count. A line that was torn is as if it was never
// written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/util/file_errors.h"

namespace proad::server {

// A whole file.
struct UploadedFile {
  std::string path;  // within the dataset, parts separated by "/"
  int64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
};

// What a journal says.
struct UploadRecord {
  std::vector<UploadedFile> files;
  std::vector<int64_t> ends;  // where the line of each file ends, in bytes
  size_t flushed = 0;         // so many of them stand before the last "flushed"
  int64_t end = 0;            // where the last whole line ends, in bytes
  bool complete = false;

  int64_t bytes() const;  // of the files
};

// NOT_FOUND when there is none.
absl::StatusOr<UploadRecord> ReadUploadJournal(const std::filesystem::path& path);

// Appends. One thread at a time.
class UploadJournal {
 public:
  // Begins a journal, which must not exist, and flushes it; or goes on with one at byte `end`,
  // dropping what stands behind.
  static absl::StatusOr<UploadJournal> Create(const std::filesystem::path& path);
  static absl::StatusOr<UploadJournal> Continue(const std::filesystem::path& path, int64_t end);

  absl::Status Add(const UploadedFile& file);
  // Both flush the journal. The files must be flushed before.
  absl::Status MarkFlushed();
  absl::Status MarkComplete();

 private:
  UploadJournal(std::filesystem::path path, FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}
  absl::Status Append(const std::string& line);
  absl::Status Flush();

  std::filesystem::path path_;
  FileDescriptor file_;
};

}  // namespace proad::server
