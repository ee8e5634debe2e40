// Converts the options of `proad train` to a CreateTrainJobRequest.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/connection.h"
#include "client/cli/job_watch.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

struct TrainOptions {
  ServerOptions server;
  std::string dataset;                       // as given: a path on this machine or on the server
  std::string dataset_id;                    // of an uploaded dataset, or for the upload
  proad::v1::CreateTrainJobRequest request;  // without model name and dataset
  std::string model_name;
  bool gate = false;  // true when an option of the gate was given
  bool upload = false;
  bool watch = false;
  bool json = false;
  absl::Duration patience = JobWatchOptions().patience;
};

// Adds all options. `options` must outlive the execution of the command.
void AddTrainOptions(CLI::App& command, TrainOptions& options);

// Returns an error of the combination of options, which the parser does not check. Empty when valid.
std::string CheckTrainOptions(const TrainOptions& options);

// Parses "image_auroc>=0.9" or "image_auroc/pcb>=0.9". "=" is accepted for ">=", because a shell
// treats an unquoted ">" as a redirection. INVALID_ARGUMENT names the error and the valid form.
absl::StatusOr<proad::v1::MetricMinimum> ParseMinimum(const std::string& text);

// Returns the path to send to the server. A path that exists on this machine becomes absolute and
// without links, because the server probably sees the same files. Other paths stay unchanged.
std::string PathForServer(const std::string& given);

// Returns the model name: the given one, else that of --init-from, else the preset.
std::string ModelNameOf(const TrainOptions& options);

}  // namespace proad::client
