// Lists the model versions of a server and changes which of them serve. Requests and responses are
// the messages of proto/proad/v1/model.proto.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/channel.h"
#include "proad/v1/model.grpc.pb.h"

namespace proad::client {

// Thread-safe. Blocking calls. Errors carry the server's details, see client/error.h.
class ModelClient {
 public:
  explicit ModelClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call = {});

  // Returns all versions of the model `name`; "" stands for all models. Reads all pages.
  absl::StatusOr<std::vector<proad::v1::ModelSummary>> ListModels(
      const std::string& name = "") const;

  // Returns the card of "name@version", of the active version of "name", or, for "", of the default
  // model.
  absl::StatusOr<proad::v1::ModelCard> GetModel(const std::string& model) const;

  // Makes "name@version" the active version of its name. Loading it can take a minute. ABORTED when
  // `expected` is given and is not the version ("3", without the name) that is active now; "" stands
  // for no active version. A call with `expected` is not repeated, because its first attempt may
  // have changed the active version.
  absl::StatusOr<proad::v1::ActivateModelResponse> ActivateModel(
      const std::string& model, const std::optional<std::string>& expected = std::nullopt) const;

  // Activates the version of `name` that was active before the present one; without delay when it is
  // still in memory. `expected` as for ActivateModel. Never repeated, because the first attempt may
  // have succeeded.
  absl::StatusOr<proad::v1::RollbackModelResponse> RollbackModel(
      const std::string& name, const std::optional<std::string>& expected = std::nullopt) const;

  // Loads "name@version" into memory without making it active. Can take a minute.
  absl::StatusOr<proad::v1::LoadModelResponse> LoadModel(const std::string& model) const;

  // Removes "name@version" from memory.
  absl::StatusOr<proad::v1::UnloadModelResponse> UnloadModel(const std::string& model) const;

  // Chooses the thresholds of a version from images of good parts. Takes as long as inspecting the
  // images one after the other.
  absl::StatusOr<proad::v1::CalibrateResponse> Calibrate(
      const proad::v1::CalibrateRequest& request) const;

  // Deletes "name@version" from the server's store permanently. Never repeated, because a second
  // attempt would fail with NOT_FOUND.
  absl::StatusOr<proad::v1::DeleteModelResponse> DeleteModel(const std::string& model) const;

 private:
  // One unary call; repeated as RetryDelay allows if `repeat`.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (proad::v1::ModelService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, bool repeat) const;

  const std::unique_ptr<proad::v1::ModelService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
