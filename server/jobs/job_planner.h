// Completes and checks the specification of a requested training job.
//
// The planner looks up everything that the trainer will need, so that the request fails and not the
// job: the dataset, the encoder, the version to start from, the device. The trainer finds errors in
// single images later.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/dataset/dataset.h"
#include "server/jobs/train_job.h"
#include "server/serving/model_store.h"
#include "server/uploads/dataset_store.h"

namespace proad::server {

// Resolves "auto", "cpu", "cuda" or "cuda:N" to a device of this machine (ResolveTorchDevice). The
// error lists the devices that exist.
using DeviceResolver = std::function<absl::StatusOr<std::string>(const std::string& device)>;

// Thread-safety: constant after construction. The methods read files.
class JobPlanner {
 public:
  struct Options {
    std::filesystem::path data_root;  // JobSpec::dataset_path is below it; empty: no such paths
    // Directories of NAME.safetensors and NAME.pth. The first one that has NAME counts; a directory
    // need not exist.
    std::vector<std::filesystem::path> encoders;
    model::ImageReading reading;  // of jobs that state none
  };

  JobPlanner(const Options& options, const DatasetStore& datasets, const ModelStore& models,
             DeviceResolver resolve_device);

  // Sets the fields that `spec` leaves open and checks all of them. On entry spec.train has the
  // request's values; spec.train.preset may be empty, for the default.
  //   INVALID_ARGUMENT     an invalid value; the field begins with "spec."
  //   NOT_FOUND            no such dataset, category, encoder or version
  //   PERMISSION_DENIED    dataset_path is outside the data root, or there is no data root
  //   FAILED_PRECONDITION  the device, the precision or an incomplete dataset cannot be used
  absl::Status Plan(JobSpec& spec) const;

  // A request for a dataset; exactly one of path and id is set.
  struct DatasetRequest {
    std::string path;  // relative to the data root
    std::string id;    // of an uploaded dataset
    model::DatasetFormat format = model::DatasetFormat::kAuto;
    std::vector<std::string> categories;  // empty: all
  };

  // Opens a dataset. Errors as in Plan, with fields without "spec.".
  absl::StatusOr<model::Dataset> Open(const DatasetRequest& request) const;

 private:
  struct OpenedDataset {
    std::filesystem::path path;  // without links
    model::Dataset dataset;
  };

  absl::StatusOr<OpenedDataset> OpenRequested(const DatasetRequest& request) const;
  absl::Status PlanDataset(JobSpec& spec) const;
  absl::Status PlanStart(JobSpec& spec) const;
  absl::Status PlanEncoder(JobSpec& spec) const;
  absl::Status CheckStart(const JobSpec& spec) const;
  absl::Status PlanDevice(JobSpec& spec) const;
  absl::Status PlanGpus(const std::string& asked, JobSpec& spec) const;
  absl::Status PlanComparison(JobSpec& spec) const;
  absl::StatusOr<std::filesystem::path> InDataRoot(const std::string& path) const;
  absl::StatusOr<std::filesystem::path> Uploaded(const std::string& id) const;
  absl::StatusOr<std::filesystem::path> VersionDirectory(const std::string& model) const;

  const Options options_;
  const DatasetStore& datasets_;
  const ModelStore& models_;
  const DeviceResolver resolve_device_;
};

}  // namespace proad::server
