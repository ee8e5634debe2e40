#include "server/batching/calibrator.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/picture/image_file.h"
#include "model/spec/calibration.h"
#include "server/util/exception_status.h"
#include "server/util/mutex.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// The deadline of one attempt to score an image, and the number of attempts while the server is
// full.
constexpr absl::Duration kDeadline = absl::Minutes(1);
constexpr int kAttempts = 100;
// Between attempts, at most.
constexpr absl::Duration kLongestPause = absl::Seconds(1);

// One answer, waited for.
class Answer {
 public:
  void Set(absl::StatusOr<double> score) {
    {
      MutexLock lock(mutex_);
      score_ = std::move(score);
    }
    set_.NotifyAll();
  }
  absl::StatusOr<double> Wait() {
    MutexLock lock(mutex_);
    while (!score_) set_.Wait(mutex_);
    return *score_;
  }

 private:
  Mutex mutex_;
  CondVar set_;
  std::optional<absl::StatusOr<double>> score_ ABSL_GUARDED_BY(mutex_);
};

absl::Status CheckEnough(const std::map<std::string, int64_t>& images, double budget) {
  const int64_t needed = model::ImagesForBudget(budget);
  for (const auto& [category, count] : images) {
    if (count >= needed) continue;
    return MakeError(
        absl::StatusCode::kFailedPrecondition,
        absl::StrCat("category ", Quote(category), " has ", count,
                     " images of good parts, and a false-reject budget of ", budget,
                     " needs at least ", needed, "; add images, or allow more false rejects"),
        {.reason = reason::kTooFewImages,
         .field = "false_reject_budget",
         .metadata = {{"category", category}, {"needed", absl::StrCat(needed)}}});
  }
  return absl::OkStatus();
}

absl::Status WithImageName(const absl::Status& status, const std::string& name) {
  StatusDetails details = GetDetails(status);
  if (absl::IsInvalidArgument(status)) details.field = "dataset";
  return MakeError(status.code(), absl::StrCat(Quote(name), ": ", status.message()), details);
}

// Whether the server may accept the image a little later.
bool IsFull(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) ||
         (absl::IsResourceExhausted(status) && GetDetails(status).retry_after.has_value());
}

}  // namespace

absl::StatusOr<Recalibrations> Calibrator::Calibrate(const std::string& model,
                                                     absl::Span<const model::Sample> good,
                                                     double budget) const {
  std::map<std::string, int64_t> images;
  for (const model::Sample& sample : good) ++images[sample.category];
  if (const absl::Status enough = CheckEnough(images, budget); !enough.ok()) return enough;
  std::map<std::string, std::vector<double>> scores;
  for (const model::Sample& sample : good) {
    const absl::StatusOr<double> score = Score(model, sample);
    if (!score.ok()) return score.status();
    scores[sample.category].push_back(*score);
  }
  Recalibrations found;
  try {
    for (const auto& [category, of_category] : scores) {
      Recalibration& entry = found[category];
      entry.calibration = model::Calibrate(of_category, budget);
      entry.rejected =
          std::count_if(of_category.begin(), of_category.end(),
                        [&entry](double score) { return score >= entry.calibration.threshold; });
      entry.created = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
    }
  } catch (...) {
    return StatusOfCurrentException();
  }
  return found;
}

absl::StatusOr<double> Calibrator::Score(const std::string& model,
                                         const model::Sample& sample) const {
  std::vector<uint8_t> bytes;
  try {
    bytes = model::ReadImageFile(sample.path, detector_.options().image);
  } catch (...) {
    return WithImageName(StatusOfCurrentException(), sample.name);
  }
  absl::Status status;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    DetectQuery query;
    query.model = model;
    query.image = std::span<const uint8_t>(bytes);
    query.deadline = absl::Now() + kDeadline;
    query.counted = false;
    const auto answer = std::make_shared<Answer>();
    detector_.Detect(std::move(query), [answer](absl::StatusOr<Detection> detection) {
      answer->Set(detection.ok() ? absl::StatusOr<double>(detection->score) : detection.status());
    });
    absl::StatusOr<double> score = answer->Wait();
    if (score.ok()) return score;
    status = score.status();
    if (!IsFull(status)) break;
    absl::SleepFor(std::min(GetDetails(status).retry_after.value_or(kLongestPause), kLongestPause));
  }
  return WithImageName(status, sample.name);
}

}  // namespace proad::server
