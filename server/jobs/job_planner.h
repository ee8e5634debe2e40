// Turns what somebody asks for into a job that can run here, or says why it cannot.
//
// Everything that a trainer will need is looked for now, while who asks still listens: the dataset,
// the encoder, the version to start from, the device. What is wrong with a single picture is found
// later, by the trainer.
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

// "auto", "cpu", "cuda", "cuda:N" -> a device that exists (ResolveTorchDevice), or says which do.
using DeviceResolver = std::function<absl::StatusOr<std::string>(const std::string& device)>;

// Thread-safety: const after construction; touches the disk.
class JobPlanner {
 public:
  struct Options {
    std::filesystem::path data_root;  // jail of JobSpec::dataset_path; empty: no such path
    std::filesystem::path encoders;   // NAME.safetensors or NAME.pth
  };

  JobPlanner(const Options& options, const DatasetStore& datasets, const ModelStore& models,
             DeviceResolver resolve_device);

  // Fills in what `spec` leaves open and checks it against what there is. On entry spec.train has
  // what was asked for; spec.train.preset may be empty for the default.
  //   INVALID_ARGUMENT     field and reason as model/ names them, below "spec."
  //   NOT_FOUND            dataset, category, encoder, version
  //   PERMISSION_DENIED    dataset_path leaves the data root, or there is none
  //   FAILED_PRECONDITION  device, precision, a dataset that is not complete
  absl::Status Plan(JobSpec& spec) const;

  // Which pictures are meant; exactly one of the two places is set.
  struct DatasetWish {
    std::string path;  // below the data root
    std::string id;    // uploaded
    model::DatasetFormat format = model::DatasetFormat::kAuto;
    std::vector<std::string> categories;  // empty: all
  };

  // Opens a dataset. Errors as Plan's, their fields without "spec.".
  absl::StatusOr<model::Dataset> Open(const DatasetWish& wish) const;

 private:
  struct OpenedDataset {
    std::filesystem::path path;  // as it was found
    model::Dataset dataset;
  };

  absl::StatusOr<OpenedDataset> OpenWished(const DatasetWish& wish) const;
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
