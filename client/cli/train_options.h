// The words of `proad train` as the contract's request.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cli/connection.h"
#include "client/cli/watch.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

struct TrainOptions {
  ServerOptions server;
  std::string dataset;                       // as given: a path here or on the server
  std::string dataset_id;                    // of an uploaded one, or for the upload
  proad::v1::CreateTrainJobRequest request;  // all but model name and dataset
  std::string model_name;
  bool gate = false;  // something of the gate was asked for
  bool upload = false;
  bool watch = false;
  bool json = false;
  absl::Duration patience = FollowOptions().patience;
};

// Adds every option. `options` must live until the command has run.
void AddTrainOptions(CLI::App& command, TrainOptions& options);

// What the parser cannot check by itself; "" when all is well.
std::string CheckTrainOptions(const TrainOptions& options);

// "image_auroc>=0.9", "image_auroc/pcb>=0.9"; "=" does as well, because a shell takes ">" for
// itself. INVALID_ARGUMENT says what is wrong with the text and what would be right.
absl::StatusOr<proad::v1::MetricMinimum> ParseMinimum(const std::string& text);

// The path to send for one that was given: absolute and without links when it exists here, since
// the server then most likely sees the same files; otherwise as it is.
std::string PathForServer(const std::string& given);

// Name of the model: as given; else that of the version to start from; else the preset's.
std::string ModelNameOf(const TrainOptions& options);

}  // namespace proad::client
