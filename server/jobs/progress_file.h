// progress.jsonl: the progress of a job, one JSON object per line. The trainer appends to the file
// and the server follows it.
//
// The file only informs people. A job does not depend on it, so it is not flushed to the disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "model/training/train_run.h"

namespace proad::server {

struct ProgressRecord {
  int64_t sequence = 0;  // from 1, over all attempts
  absl::Time time = absl::InfinitePast();
  model::TrainProgress train;
};

// A line of the file, without its newline. Numbers that are not finite become 0.
std::string FormatProgress(const ProgressRecord& record);

// nullopt unless `line` is a complete line of FormatProgress.
std::optional<ProgressRecord> ParseProgress(std::string_view line);

// Appends to the file, after the lines of earlier attempts. A line that cannot be written, for
// example because the disk is full, is dropped: the training reports a full disk where it matters.
// One thread; one writer per file.
class ProgressWriter {
 public:
  struct Options {
    absl::Duration interval = absl::Milliseconds(100);  // between lines of the same phase
    int64_t max_bytes = 1 << 20;  // beyond this size all lines but the last 64 KiB are removed
  };

  ProgressWriter(std::filesystem::path path, const Options& options);
  explicit ProgressWriter(std::filesystem::path path)
      : ProgressWriter(std::move(path), Options()) {}
  // Writes a report that Report has held back.
  ~ProgressWriter();
  ProgressWriter(const ProgressWriter&) = delete;
  ProgressWriter& operator=(const ProgressWriter&) = delete;

  // Writes the report at once when the phase has changed or Options::interval is over; otherwise
  // holds it back, and the next report replaces it.
  void Report(const model::TrainProgress& progress, absl::Time now);

 private:
  void Open();
  void Write();
  void Compact();

  const std::filesystem::path path_;
  const Options options_;
  int fd_ = -1;
  int64_t size_ = 0;  // up to the end of the last complete line
  ProgressRecord last_;
  bool held_back_ = false;  // last_ is not in the file
  absl::Time written_ = absl::InfinitePast();
};

// Reads the file while it grows. One thread.
class ProgressReader {
 public:
  explicit ProgressReader(std::filesystem::path path) : path_(std::move(path)) {}
  ~ProgressReader();
  ProgressReader(const ProgressReader&) = delete;
  ProgressReader& operator=(const ProgressReader&) = delete;

  // The last complete record, if it is newer than that of the last call. Ignores lines that are not
  // records, and a last line without a newline.
  std::optional<ProgressRecord> Poll();

 private:
  bool OpenCurrent();

  const std::filesystem::path path_;
  int fd_ = -1;
  int64_t offset_ = 0;    // end of the lines that were read
  int64_t sequence_ = 0;  // of the last returned record
};

}  // namespace proad::server
