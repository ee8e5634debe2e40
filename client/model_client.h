// Asks a server which models it has. Answers are the messages of proto/proad/v1/model.proto.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "proad/v1/model.grpc.pb.h"

namespace proad::client {

// Thread-safe: any number of threads may call at once. Errors as of DetectionClient.
class ModelClient {
 public:
  explicit ModelClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Every version of `name`, "" for those of every model, all pages of them.
  absl::StatusOr<std::vector<proad::v1::ModelSummary>> ListModels(
      const std::string& name = "") const;

  // The card of "name@version", of the active version of "name", or of the default model for "".
  absl::StatusOr<proad::v1::ModelCard> GetModel(const std::string& model) const;

 private:
  const std::unique_ptr<proad::v1::ModelService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
