// Asks a server which models it has, and says which of them serves. Answers are the messages of
// proto/proad/v1/model.proto.
#pragma once

#include <memory>
#include <optional>
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

  // Makes "name@version" the version that serves its name; loading it may take a minute. With
  // `expected` only if that version ("3", without the name) is active now, or none for "": ABORTED
  // otherwise. Then it is not repeated by itself: the first attempt may have changed what is
  // expected.
  absl::StatusOr<proad::v1::ActivateModelResponse> ActivateModel(
      const std::string& model, const std::optional<std::string>& expected = std::nullopt) const;

 private:
  const std::unique_ptr<proad::v1::ModelService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
