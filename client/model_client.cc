#include "client/model_client.h"

#include <iterator>

namespace proad::client {

ModelClient::ModelClient(const std::shared_ptr<grpc::Channel>& channel, CallOptions call)
    : stub_(proad::v1::ModelService::NewStub(channel)), call_(call) {}

absl::StatusOr<std::vector<proad::v1::ModelSummary>> ModelClient::ListModels(
    const std::string& name) const {
  std::vector<proad::v1::ModelSummary> models;
  proad::v1::ListModelsRequest request;
  request.set_name(name);
  do {
    proad::v1::ListModelsResponse response;
    const absl::Status status = CallWithRetry(call_, [&](grpc::ClientContext& context) {
      return stub_->ListModels(&context, request, &response);
    });
    if (!status.ok()) return status;
    std::move(response.mutable_models()->begin(), response.mutable_models()->end(),
              std::back_inserter(models));
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  return models;
}

absl::StatusOr<proad::v1::ModelCard> ModelClient::GetModel(const std::string& model) const {
  proad::v1::GetModelRequest request;
  request.set_model(model);
  proad::v1::GetModelResponse response;
  const absl::Status status = CallWithRetry(call_, [&](grpc::ClientContext& context) {
    return stub_->GetModel(&context, request, &response);
  });
  if (!status.ok()) return status;
  return response.model();
}

absl::StatusOr<proad::v1::ActivateModelResponse> ModelClient::ActivateModel(
    const std::string& model, const std::optional<std::string>& expected) const {
  proad::v1::ActivateModelRequest request;
  request.set_model(model);
  CallOptions call = call_;
  if (expected) {
    request.set_expected_active_version(*expected);
    call.retry.max_attempts = 1;
  }
  proad::v1::ActivateModelResponse response;
  const absl::Status status = CallWithRetry(call, [&](grpc::ClientContext& context) {
    return stub_->ActivateModel(&context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

}  // namespace proad::client
