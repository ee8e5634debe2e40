#include "client/cli/job_text.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli/table.h"
#include "client/training_client.h"

namespace proad::client {
namespace {

constexpr size_t kMaxBar = 30;
constexpr size_t kMinBar = 8;
constexpr size_t kPercent = 6;  // "  100%"
constexpr int kBarRank = 4;     // pieces of a higher rank are omitted before the bar
constexpr char kGap[] = "  ";

// A piece of a progress line. Pieces of the highest rank are omitted first.
struct Piece {
  int rank;
  std::string text;
};

bool IsTraining(const proad::v1::TrainJob& job) {
  return job.state() == proad::v1::TRAIN_JOB_STATE_RUNNING &&
         job.progress().phase() == proad::v1::TRAIN_PHASE_TRAINING;
}

// The share of completed steps, in the training phase only.
std::optional<double> Done(const proad::v1::TrainJob& job) {
  const proad::v1::TrainProgress& progress = job.progress();
  if (!IsTraining(job) || progress.steps() == 0) return std::nullopt;
  return std::min(1.0,
                  static_cast<double>(progress.step()) / static_cast<double>(progress.steps()));
}

// The bar is inserted after the pieces of rank 1.
std::vector<Piece> Pieces(const proad::v1::TrainJob& job) {
  std::vector<Piece> pieces = {{0, Activity(job)}};
  const auto add = [&](int rank, const std::string& text) { pieces.push_back({rank, text}); };
  if (job.state() != proad::v1::TRAIN_JOB_STATE_RUNNING || !job.has_progress()) return pieces;
  const proad::v1::TrainProgress& progress = job.progress();
  if (IsTraining(job) && progress.step() > 0) {
    add(1, absl::StrCat("epoch ", progress.epoch(), "/", progress.epochs()));
    add(5, absl::StrCat("step ", progress.step(), "/", progress.steps()));
    add(2, absl::StrFormat("loss %.4f", progress.loss()));
    add(6, absl::StrFormat("lr %.1e", progress.learning_rate()));
  }
  if (progress.images_per_second() > 0) {
    add(4, absl::StrFormat("%.1f images/s", progress.images_per_second()));
  }
  if (progress.has_eta()) add(3, absl::StrCat("ETA ", ShortDuration(FromProto(progress.eta()))));
  return pieces;
}

size_t WidthOf(const std::vector<Piece>& pieces) {
  size_t width = 0;
  for (const Piece& piece : pieces) width += DisplayWidth(piece.text) + sizeof(kGap) - 1;
  return width - (sizeof(kGap) - 1);
}

std::string Join(const std::vector<Piece>& pieces) {
  std::string line;
  for (const Piece& piece : pieces) absl::StrAppend(&line, line.empty() ? "" : kGap, piece.text);
  return line;
}

// "[#####.....]  50%", with `width` columns in total.
std::string Bar(double done, size_t width) {
  const std::string percent = absl::StrFormat("%s%3.0f%%", kGap, std::floor(done * 100));
  const size_t inside = width - percent.size() - 2;
  const auto full = static_cast<size_t>(done * static_cast<double>(inside));
  return absl::StrCat("[", std::string(full, '#'), std::string(inside - full, '.'), "]", percent);
}

}  // namespace

std::string StateName(proad::v1::TrainJobState state) {
  return std::string(absl::StripPrefix(proad::v1::TrainJobState_Name(state), "TRAIN_JOB_STATE_"));
}

std::string Activity(const proad::v1::TrainJob& job) {
  const std::string state = absl::AsciiStrToLower(StateName(job.state()));
  if (job.state() == proad::v1::TRAIN_JOB_STATE_QUEUED && job.queue_position() > 0) {
    return absl::StrCat(state, ", ", job.queue_position(), " before it");
  }
  const bool knows_phase = job.progress().phase() != proad::v1::TRAIN_PHASE_UNSPECIFIED;
  if (job.state() != proad::v1::TRAIN_JOB_STATE_RUNNING || !knows_phase) return state;
  return absl::AsciiStrToLower(
      absl::StripPrefix(proad::v1::TrainPhase_Name(job.progress().phase()), "TRAIN_PHASE_"));
}

std::string VersionName(const proad::v1::ModelVersion& version) {
  return Printable(absl::StrCat(version.name(), "@", version.version()));
}

std::string DatasetName(const proad::v1::TrainJobSpec& spec) {
  return Printable(spec.has_dataset_id() ? absl::StrCat("uploaded ", spec.dataset_id())
                                         : spec.dataset_path());
}

std::string ShortDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(0, absl::ToInt64Seconds(duration));
  if (seconds < 60) return absl::StrCat(seconds, "s");
  if (seconds < 3600) return absl::StrFormat("%dm%02ds", seconds / 60, seconds % 60);
  if (seconds < 86400) return absl::StrFormat("%dh%02dm", seconds / 3600, seconds / 60 % 60);
  return absl::StrFormat("%dd%02dh", seconds / 86400, seconds / 3600 % 24);
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

std::string UtcMinute(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string ProgressBar(const proad::v1::TrainJob& job, size_t width) {
  std::vector<Piece> pieces = Pieces(job);
  const size_t room = std::max<size_t>(width, 2) - 1;
  const std::optional<double> done = Done(job);
  const size_t around_bar = sizeof(kGap) - 1 + kPercent + 2;
  while (pieces.size() > 1) {
    const auto least = std::max_element(
        pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    const size_t bar = done && least->rank > kBarRank ? around_bar + kMinBar : 0;
    if (WidthOf(pieces) + bar <= room) break;
    pieces.erase(least);
  }
  const size_t used = WidthOf(pieces) + around_bar;
  if (done && used + kMinBar <= room) {
    const size_t bar = std::min(room - used, kMaxBar) + kPercent + 2;
    const auto after = std::find_if(pieces.begin(), pieces.end(),
                                    [](const Piece& piece) { return piece.rank > 1; });
    pieces.insert(after, {1, Bar(*done, bar)});
  }
  std::string line = Join(pieces);
  if (line.size() > room) line.resize(room);  // the line is ASCII
  return line;
}

std::string ProgressText(const proad::v1::TrainJob& job) { return Join(Pieces(job)); }

}  // namespace proad::client
