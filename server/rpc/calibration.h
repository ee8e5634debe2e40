// The call Calibrate: chooses thresholds from a dataset of good parts and puts them in force.
#pragma once

#include <proad/v1/model.pb.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/dataset/dataset.h"
#include "server/batching/calibrator.h"
#include "server/serving/model_serving.h"

namespace proad::server {

// Opens a dataset. Exactly one of `path` and `id` is set; empty `categories` means all. Errors name
// the fields of CalibrateRequest.
using OpenDataset = std::function<absl::StatusOr<model::Dataset>(
    const std::string& path, const std::string& id, const std::vector<std::string>& categories)>;

// Thread-safety: Run may be called from any thread that may block. The models must outlive the
// object.
class Calibration {
 public:
  Calibration(ModelServing& models, Calibrator calibrator, OpenDataset open_dataset);

  // Checks the request, scores the images, and sets the thresholds unless validate_only. Takes
  // minutes for large datasets. Errors as documented for the call.
  absl::Status Run(const v1::CalibrateRequest& request, v1::CalibrateResponse& response) const;

 private:
  absl::Status Score(const v1::CalibrateRequest& request, const v1::ModelVersion& version,
                     const std::vector<model::Sample>& good, v1::CalibrateResponse& response) const;

  ModelServing& models_;
  const Calibrator calibrator_;
  const OpenDataset open_dataset_;
};

}  // namespace proad::server
