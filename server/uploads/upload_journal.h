// The journal of an upload: one line for each complete file, in the order of their arrival.
//
//   <bytes> <SHA-256> <path, C-escaped>
//   flushed        all files above are flushed to the disk
//   complete       the dataset does not change any more
//
// A line is written after its file is renamed into its place, so the files of the journal survive a
// crash of the process. Files after the last "flushed" may be damaged by a power cut: a reader
// compares them with their digests. A line without its end does not count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/util/file_errors.h"

namespace proad::server {

// A complete file.
struct UploadedFile {
  std::string path;  // within the dataset, parts separated by "/"
  int64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits
};

// The contents of a journal.
struct UploadRecord {
  std::vector<UploadedFile> files;
  std::vector<int64_t> ends;  // byte at which the line of each file ends
  size_t flushed = 0;         // number of files before the last "flushed"
  int64_t end = 0;            // byte at which the last complete line ends
  bool complete = false;

  int64_t bytes() const;  // of all files
};

// NOT_FOUND when there is no journal. Safe to call from any thread.
absl::StatusOr<UploadRecord> ReadUploadJournal(const std::filesystem::path& path);

// Appends to a journal. Not thread-safe. All methods fail with errors of the file system.
class UploadJournal {
 public:
  // Creates a journal, which must not exist, and flushes it.
  static absl::StatusOr<UploadJournal> Create(const std::filesystem::path& path);
  // Opens a journal, and cuts it off at byte `end`.
  static absl::StatusOr<UploadJournal> Continue(const std::filesystem::path& path, int64_t end);

  absl::Status Add(const UploadedFile& file);
  // Both flush the journal. The caller flushes the files before.
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
