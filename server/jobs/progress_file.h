// How far a job is: progress.jsonl, one JSON object a line, appended to by the trainer and followed
// by the server.
//
// It is a report and not a record: nothing is lost with it but what a person would have seen.
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

// A line of the file, without its end. Numbers that are not finite are written as 0.
std::string FormatProgress(const ProgressRecord& record);

// nullopt for anything else than a whole line that FormatProgress wrote.
std::optional<ProgressRecord> ParseProgress(std::string_view line);

// Appends to the file; goes on where an earlier attempt ended. What cannot be written, because the
// disk is full for example, is dropped: that is for the run to notice where it matters. One thread,
// one writer a file.
class ProgressWriter {
 public:
  struct Options {
    absl::Duration interval = absl::Milliseconds(100);  // between records of the same phase
    int64_t max_bytes = 1 << 20;                        // then all but the last lines are dropped
  };

  ProgressWriter(std::filesystem::path path, const Options& options);
  explicit ProgressWriter(std::filesystem::path path)
      : ProgressWriter(std::move(path), Options()) {}
  // Writes the last report, if it was held back.
  ~ProgressWriter();
  ProgressWriter(const ProgressWriter&) = delete;
  ProgressWriter& operator=(const ProgressWriter&) = delete;

  // Writes at once when the phase is another or Options::interval is over; otherwise holds the
  // report back until the next one.
  void Report(const model::TrainProgress& progress, absl::Time now);

 private:
  void Open();
  void Write();
  void Compact();

  const std::filesystem::path path_;
  const Options options_;
  int fd_ = -1;
  int64_t size_ = 0;  // up to the end of the last whole line
  ProgressRecord last_;
  bool held_back_ = false;  // last_ is not in the file
  absl::Time written_ = absl::InfinitePast();
};

// Follows the file. One thread.
class ProgressReader {
 public:
  explicit ProgressReader(std::filesystem::path path) : path_(std::move(path)) {}
  ~ProgressReader();
  ProgressReader(const ProgressReader&) = delete;
  ProgressReader& operator=(const ProgressReader&) = delete;

  // The last whole record, if it is another than at the last call. Lines that are no records are
  // passed over, and so is a last line without an end.
  std::optional<ProgressRecord> Poll();

 private:
  bool OpenCurrent();

  const std::filesystem::path path_;
  int fd_ = -1;
  int64_t offset_ = 0;    // up to which lines were looked at
  int64_t sequence_ = 0;  // of the last record that was returned
};

}  // namespace proad::server
