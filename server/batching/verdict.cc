#include "server/batching/verdict.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr size_t kListedCategories = 20;

absl::Status UnknownCategory(const model::Manifest& manifest, absl::string_view category) {
  std::string known;
  size_t listed = 0;
  for (const auto& [name, calibration] : manifest.categories) {
    if (listed == kListedCategories) {
      absl::StrAppend(&known, " and ", manifest.categories.size() - listed, " more");
      break;
    }
    absl::StrAppend(&known, listed == 0 ? "" : ", ", name);
    ++listed;
  }
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("unknown category ", Quote(category), "; ", manifest.name, "@",
                                manifest.version, " knows ", known),
                   {.reason = "CATEGORY_NOT_FOUND", .field = "category"});
}

}  // namespace

absl::StatusOr<Threshold> PickThreshold(const model::Manifest& manifest, absl::string_view category,
                                        std::optional<double> requested) {
  const auto calibrated = manifest.categories.find(std::string(category));
  if (!category.empty() && !manifest.categories.empty() &&
      calibrated == manifest.categories.end()) {
    return UnknownCategory(manifest, category);
  }
  if (requested) return Threshold{requested, ThresholdSource::kRequest};
  if (calibrated != manifest.categories.end()) {
    return Threshold{calibrated->second.threshold, ThresholdSource::kCategory};
  }
  if (manifest.calibration) {
    return Threshold{manifest.calibration->threshold, ThresholdSource::kModel};
  }
  return Threshold{};
}

Verdict Decide(double score, const Threshold& threshold) {
  if (!threshold.value) return Verdict::kUndecided;
  return score < *threshold.value ? Verdict::kNormal : Verdict::kAnomalous;
}

std::optional<double> NormalizedScore(double score, const Threshold& threshold) {
  if (!threshold.value) return std::nullopt;
  return std::min(1.0, score / (2 * *threshold.value));
}

}  // namespace proad::server
