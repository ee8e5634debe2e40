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

  // Lets the version that served `name` before the present one serve again; at once where it is
  // still in memory. `expected` as of ActivateModel. Never repeated by itself: the first attempt
  // may have rolled back already.
  absl::StatusOr<proad::v1::RollbackModelResponse> RollbackModel(
      const std::string& name, const std::optional<std::string>& expected = std::nullopt) const;

  // Brings "name@version" into memory without letting it serve its name; may take a minute.
  absl::StatusOr<proad::v1::LoadModelResponse> LoadModel(const std::string& model) const;

  // Takes "name@version" out of memory.
  absl::StatusOr<proad::v1::UnloadModelResponse> UnloadModel(const std::string& model) const;

  // Sets the thresholds of a version from pictures of good parts; takes as long as to detect on
  // each of them, one after the other.
  absl::StatusOr<proad::v1::CalibrateResponse> Calibrate(
      const proad::v1::CalibrateRequest& request) const;

  // Removes "name@version" from the server's store for good. Never repeated by itself: it would
  // find nothing.
  absl::StatusOr<proad::v1::DeleteModelResponse> DeleteModel(const std::string& model) const;

 private:
  // One unary call, repeated where that is safe.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (proad::v1::ModelService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, bool repeat) const;

  const std::unique_ptr<proad::v1::ModelService::Stub> stub_;
  const CallOptions call_;
};

}  // namespace proad::client
