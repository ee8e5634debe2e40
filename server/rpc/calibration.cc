#include "server/rpc/calibration.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/model_card.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr double kDefaultBudget = 0.01;
constexpr int kMaxCategories = 1000;

absl::Status Invalid(const std::string& field, const std::string& reason,
                     const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
                   {.reason = reason, .field = field});
}

absl::Status Check(const v1::CalibrateRequest& request) {
  if (request.dataset_case() == v1::CalibrateRequest::DATASET_NOT_SET) {
    return Invalid("dataset_path", reason::kDatasetMissing,
                   "name a dataset of good parts by path or id");
  }
  if (request.categories_size() > kMaxCategories) {
    return Invalid("categories", reason::kTooManyCategories,
                   absl::StrCat(request.categories_size(), " are named; at most ", kMaxCategories,
                                " are accepted"));
  }
  const double budget = request.false_reject_budget();
  if (request.has_false_reject_budget() && !(budget > 0 && budget < 1)) {
    return Invalid("false_reject_budget", reason::kOutOfRange,
                   absl::StrCat(budget, " is not above 0 and below 1"));
  }
  return absl::OkStatus();
}

std::vector<model::Sample> GoodOf(model::Dataset dataset) {
  std::erase_if(dataset.samples, [](const model::Sample& sample) { return !sample.good; });
  return std::move(dataset.samples);
}

}  // namespace

Calibration::Calibration(ModelServing& models, Calibrator calibrator, OpenDataset open_dataset)
    : models_(models), calibrator_(calibrator), open_dataset_(std::move(open_dataset)) {}

absl::Status Calibration::Run(const v1::CalibrateRequest& request,
                              v1::CalibrateResponse& response) const {
  if (absl::Status checked = Check(request); !checked.ok()) return checked;
  // Resolved once: a swap during the calibration does not change the version.
  if (absl::Status scanned = models_.scanner.Scan(); !scanned.ok()) return scanned;
  const absl::StatusOr<ListedVersion> listed = models_.catalog.Find(request.model());
  if (!listed.ok()) return listed.status();
  absl::StatusOr<model::Dataset> dataset =
      open_dataset_(request.dataset_path(), request.dataset_id(),
                    {request.categories().begin(), request.categories().end()});
  if (!dataset.ok()) return dataset.status();
  const std::vector<model::Sample> good = GoodOf(*std::move(dataset));
  if (good.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     "the dataset has no image of a good part",
                     {.reason = reason::kTooFewImages, .field = "dataset"});
  }

  const std::string& name = listed->name;
  const std::string& version = listed->version;
  const absl::StatusOr<LoadedVersion> loaded = models_.lifecycle.Load(name, version);
  if (!loaded.ok()) return loaded.status();
  // Unload fails, as it should, when the version has become the active one meanwhile.
  const auto unload = absl::MakeCleanup([&] {
    if (loaded->took) models_.lifecycle.Unload(name, version).IgnoreError();
  });
  v1::ModelVersion& calibrated = *response.mutable_model_version();
  calibrated.set_name(name);
  calibrated.set_version(version);
  calibrated.set_hash(loaded->handle->manifest().hash);
  return Score(request, calibrated, good, response);
}

absl::Status Calibration::Score(const v1::CalibrateRequest& request,
                                const v1::ModelVersion& version,
                                const std::vector<model::Sample>& good,
                                v1::CalibrateResponse& response) const {
  const double budget =
      request.has_false_reject_budget() ? request.false_reject_budget() : kDefaultBudget;
  const absl::StatusOr<Recalibrations> found =
      calibrator_.Calibrate(FullName(version.name(), version.version()), good, budget);
  if (!found.ok()) return found.status();
  if (!request.validate_only()) {
    absl::Status set = models_.lifecycle.SetThresholds(version.name(), version.version(), *found);
    if (!set.ok()) return set;
    response.set_applied(true);
  }
  for (const auto& [category, recalibration] : *found) {
    FillRecalibration(category, recalibration, *response.add_calibrations());
  }
  return absl::OkStatus();
}

}  // namespace proad::server
