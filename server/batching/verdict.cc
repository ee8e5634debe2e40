#include "server/batching/verdict.h"

#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr size_t kListedCategories = 20;

std::set<std::string> KnownCategories(const model::Manifest& manifest,
                                      const Recalibrations* recalibrated) {
  std::set<std::string> known;
  for (const auto& [name, calibration] : manifest.categories) known.insert(name);
  if (recalibrated != nullptr) {
    for (const auto& [name, recalibration] : *recalibrated) known.insert(name);
  }
  known.erase("");
  return known;
}

// The threshold of a category, or for "" that of the version for every other category.
std::optional<double> InForce(const model::Manifest& manifest, const Recalibrations* recalibrated,
                              const std::string& category) {
  if (recalibrated != nullptr) {
    const auto found = recalibrated->find(category);
    if (found != recalibrated->end()) return found->second.calibration.threshold;
  }
  if (category.empty()) {
    if (manifest.calibration) return manifest.calibration->threshold;
    return std::nullopt;
  }
  const auto found = manifest.categories.find(category);
  if (found == manifest.categories.end()) return std::nullopt;
  return found->second.threshold;
}

absl::Status UnknownCategory(const model::Manifest& manifest, const std::set<std::string>& known,
                             absl::string_view category) {
  std::string names;
  size_t listed = 0;
  for (const std::string& name : known) {
    if (listed == kListedCategories) {
      absl::StrAppend(&names, " and ", known.size() - listed, " more");
      break;
    }
    absl::StrAppend(&names, listed == 0 ? "" : ", ", name);
    ++listed;
  }
  return MakeError(absl::StatusCode::kNotFound,
                   absl::StrCat("unknown category ", Quote(category), "; ", manifest.name, "@",
                                manifest.version, " knows ", names),
                   {.reason = reason::kCategoryNotFound, .field = "category"});
}

}  // namespace

absl::StatusOr<Threshold> PickThreshold(const model::Manifest& manifest,
                                        const Recalibrations* recalibrated,
                                        absl::string_view category,
                                        std::optional<double> requested) {
  const std::optional<double> of_category =
      category.empty() ? std::nullopt : InForce(manifest, recalibrated, std::string(category));
  if (!category.empty() && !of_category) {
    std::set<std::string> known = KnownCategories(manifest, recalibrated);
    if (!known.empty()) return UnknownCategory(manifest, known, category);
  }
  if (requested) return Threshold{requested, ThresholdSource::kRequest};
  if (of_category) return Threshold{of_category, ThresholdSource::kCategory};
  if (const auto of_all = InForce(manifest, recalibrated, "")) {
    return Threshold{of_all, ThresholdSource::kModel};
  }
  return Threshold{};
}

bool KnowsCategory(const model::Manifest& manifest, const Recalibrations* recalibrated,
                   const std::string& category) {
  return InForce(manifest, recalibrated, category).has_value();
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
