#include "client/model_client.h"

#include <iterator>

namespace proad::client {

template <typename Request, typename Response>
absl::StatusOr<Response> ModelClient::Call(grpc::Status (proad::v1::ModelService::Stub::*method)(
                                               grpc::ClientContext*, const Request&, Response*),
                                           const Request& request, bool repeat) const {
  CallOptions call = call_;
  if (!repeat) call.retry.max_attempts = 1;
  Response response;
  const absl::Status status = CallWithRetry(call, [&](grpc::ClientContext& context) {
    return ((*stub_).*method)(&context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

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
  const auto response = Call(&proad::v1::ModelService::Stub::GetModel, request, /*repeat=*/true);
  if (!response.ok()) return response.status();
  return response->model();
}

absl::StatusOr<proad::v1::ActivateModelResponse> ModelClient::ActivateModel(
    const std::string& model, const std::optional<std::string>& expected) const {
  proad::v1::ActivateModelRequest request;
  request.set_model(model);
  if (expected) request.set_expected_active_version(*expected);
  return Call(&proad::v1::ModelService::Stub::ActivateModel, request, !expected);
}

absl::StatusOr<proad::v1::RollbackModelResponse> ModelClient::RollbackModel(
    const std::string& name, const std::optional<std::string>& expected) const {
  proad::v1::RollbackModelRequest request;
  request.set_name(name);
  if (expected) request.set_expected_active_version(*expected);
  return Call(&proad::v1::ModelService::Stub::RollbackModel, request, /*repeat=*/false);
}

absl::StatusOr<proad::v1::LoadModelResponse> ModelClient::LoadModel(
    const std::string& model) const {
  proad::v1::LoadModelRequest request;
  request.set_model(model);
  return Call(&proad::v1::ModelService::Stub::LoadModel, request, /*repeat=*/true);
}

absl::StatusOr<proad::v1::UnloadModelResponse> ModelClient::UnloadModel(
    const std::string& model) const {
  proad::v1::UnloadModelRequest request;
  request.set_model(model);
  return Call(&proad::v1::ModelService::Stub::UnloadModel, request, /*repeat=*/true);
}

absl::StatusOr<proad::v1::CalibrateResponse> ModelClient::Calibrate(
    const proad::v1::CalibrateRequest& request) const {
  return Call(&proad::v1::ModelService::Stub::Calibrate, request, /*repeat=*/true);
}

absl::StatusOr<proad::v1::DeleteModelResponse> ModelClient::DeleteModel(
    const std::string& model) const {
  proad::v1::DeleteModelRequest request;
  request.set_model(model);
  return Call(&proad::v1::ModelService::Stub::DeleteModel, request, /*repeat=*/false);
}

}  // namespace proad::client
