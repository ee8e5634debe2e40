#include "server/jobs/progress_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <utility>

#include "model/files/atomic_file.h"
#include "server/util/json_fields.h"

namespace proad::server {

template <>
struct EnumNames<model::TrainPhase> {
  using enum model::TrainPhase;
  static constexpr std::array all = {kPreparing, kEncoding, kTraining, kEvaluating, kPublishing};
  static constexpr std::array names = {"preparing", "encoding", "training", "evaluating",
                                       "publishing"};
  static const char* Name(model::TrainPhase value) { return names[static_cast<size_t>(value)]; }
};

template <SameType<ProgressRecord> Struct, typename Visit>
void Fields(Struct& record, Visit& visit) {
  visit("sequence", record.sequence);
  visit("time", record.time);
  visit("phase", record.train.phase);
  visit("epoch", record.train.epoch);
  visit("epochs", record.train.epochs);
  visit("step", record.train.step);
  visit("steps", record.train.steps);
  visit("loss", record.train.loss);
  visit("learning_rate", record.train.learning_rate);
  visit("images_per_second", record.train.images_per_second);
  visit("eta_seconds", record.train.eta_seconds);
  visit("checkpoint_step", record.train.checkpoint_step);
  visit("train_images", record.train.train_images);
  visit("device", record.train.device);
  visit("done", record.train.done);
  visit("total", record.train.total);
}

namespace {

// Bytes that are read at once. A record has a few hundred bytes, so this is far more than are new.
constexpr int64_t kTail = 64 << 10;

// Bytes [from, to) of a file; fewer when the file is shorter.
std::string ReadRange(int fd, int64_t from, int64_t to) {
  std::string text(static_cast<size_t>(std::max<int64_t>(to - from, 0)), '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = pread(fd, text.data() + have, text.size() - have,
                              static_cast<off_t>(from + static_cast<int64_t>(have)));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    have += static_cast<size_t>(got);
  }
  text.resize(have);
  return text;
}

int64_t SizeOf(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? static_cast<int64_t>(status.st_size) : 0;
}

// The last line of `text` that is a record. `text` ends with a newline.
std::optional<ProgressRecord> LastRecord(std::string_view text) {
  while (!text.empty()) {
    text.remove_suffix(1);
    const size_t before = text.rfind('\n');
    const size_t start = before == std::string_view::npos ? 0 : before + 1;
    if (auto record = ParseProgress(text.substr(start))) return record;
    text = text.substr(0, start);
  }
  return std::nullopt;
}

double Finite(double value) { return std::isfinite(value) ? value : 0; }

}  // namespace

std::string FormatProgress(const ProgressRecord& record) {
  ProgressRecord finite = record;
  finite.train.loss = Finite(finite.train.loss);
  finite.train.learning_rate = Finite(finite.train.learning_rate);
  finite.train.images_per_second = Finite(finite.train.images_per_second);
  if (finite.train.eta_seconds && !std::isfinite(*finite.train.eta_seconds)) {
    finite.train.eta_seconds.reset();
  }
  JsonWriter writer;
  Fields(finite, writer);
  return writer.Take().dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<ProgressRecord> ParseProgress(std::string_view line) {
  try {
    const std::string source = "progress";
    const nlohmann::json json = model::ParseStrictJson(line, source);
    JsonReader reader(json, source);
    ProgressRecord record;
    Fields(record, reader);
    reader.Finish();
    return record;
  } catch (const model::CorruptFile&) {
    return std::nullopt;
  }
}

ProgressWriter::ProgressWriter(std::filesystem::path path, const Options& options)
    : path_(std::move(path)), options_(options) {
  Open();
  if (fd_ < 0) return;
  const int64_t end = SizeOf(fd_);
  const std::string tail = ReadRange(fd_, std::max<int64_t>(0, end - kTail), end);
  const size_t last_end = tail.rfind('\n');
  const size_t whole = last_end == std::string::npos ? 0 : last_end + 1;
  // Cuts off an incomplete line of a killed attempt, which would damage the next line.
  size_ = end - static_cast<int64_t>(tail.size() - whole);
  if (size_ < end && ftruncate(fd_, static_cast<off_t>(size_)) != 0) size_ = end;
  if (const auto last = LastRecord(std::string_view(tail).substr(0, whole))) last_ = *last;
}

ProgressWriter::~ProgressWriter() {
  if (held_back_) Write();
  if (fd_ >= 0) close(fd_);
}

void ProgressWriter::Report(const model::TrainProgress& progress, absl::Time now) {
  const bool other_phase = written_ == absl::InfinitePast() || progress.phase != last_.train.phase;
  if (other_phase && held_back_) Write();  // the end of the phase before
  if (!held_back_) ++last_.sequence;
  last_.time = now;
  last_.train = progress;
  held_back_ = true;
  if (other_phase || now - written_ >= options_.interval) {
    Write();
    written_ = now;
  }
}

void ProgressWriter::Open() {
  fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

void ProgressWriter::Write() {
  held_back_ = false;
  if (size_ > options_.max_bytes) Compact();
  if (fd_ < 0) return;
  const std::string line = FormatProgress(last_) + "\n";
  const ssize_t written = write(fd_, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size())) {
    size_ += written;
  } else if (written > 0 && ftruncate(fd_, static_cast<off_t>(size_)) != 0) {
    size_ += written;  // a damaged line, which readers ignore
  }
}

void ProgressWriter::Compact() {
  const std::string text = ReadRange(fd_, std::max<int64_t>(0, size_ - kTail), size_);
  try {
    model::AtomicFile file(path_);
    file.Write(std::string_view(text).substr(std::min(text.find('\n'), text.size() - 1) + 1));
    file.Commit();
  } catch (const model::FileError&) {
    return;  // no room for a second file; the first one stays in use
  }
  close(fd_);
  Open();
  size_ = fd_ < 0 ? 0 : SizeOf(fd_);
}

ProgressReader::~ProgressReader() {
  if (fd_ >= 0) close(fd_);
}

bool ProgressReader::OpenCurrent() {
  struct stat there, here;
  if (stat(path_.c_str(), &there) != 0) return fd_ >= 0;
  if (fd_ >= 0 && fstat(fd_, &here) == 0 && here.st_ino == there.st_ino &&
      here.st_dev == there.st_dev) {
    return true;
  }
  if (fd_ >= 0) close(fd_);
  fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  offset_ = 0;
  return fd_ >= 0;
}

std::optional<ProgressRecord> ProgressReader::Poll() {
  if (!OpenCurrent()) return std::nullopt;
  const int64_t end = SizeOf(fd_);
  if (end < offset_) offset_ = 0;
  if (end == offset_) return std::nullopt;
  const int64_t from = std::max(offset_, end - kTail);
  const std::string text = ReadRange(fd_, from, end);
  const size_t last_end = text.rfind('\n');
  if (last_end == std::string::npos) return std::nullopt;
  offset_ = from + static_cast<int64_t>(last_end) + 1;
  auto record = LastRecord(std::string_view(text).substr(0, last_end + 1));
  if (!record || record->sequence == sequence_) return std::nullopt;
  sequence_ = record->sequence;
  return record;
}

}  // namespace proad::server
