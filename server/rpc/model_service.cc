#include "server/rpc/model_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "model/spec/manifest.h"
#include "server/rpc/model_card.h"
#include "server/rpc/proto_time.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

const char* const kService = v1::ModelService::service_full_name();
constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

// Whether `listed` comes after "name@version" in the order of ListModels.
bool ComesAfter(const ListedVersion& listed, const ModelName& last) {
  if (listed.name != last.name) return listed.name > last.name;
  return VersionLess(listed.version, last.version);
}

// Parses "name@version". INVALID_ARGUMENT (VERSION_MISSING) without a version.
absl::StatusOr<ModelName> ParseVersion(const std::string& text) {
  absl::StatusOr<ModelName> model = ModelName::Parse(text);
  if (!model.ok() || !model->version.empty()) return model;
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("model: ", Quote(text), " names no version; NAME@VERSION is expected"),
      {.reason = reason::kVersionMissing, .field = "model"});
}

void Fill(const std::string& name, const std::string& version, const std::string& hash,
          v1::ModelVersion& to) {
  to.set_name(name);
  to.set_version(version);
  to.set_hash(hash);
}

// Fills the fields that the answers of ActivateModel and RollbackModel share.
template <typename Response>
void FillSwap(const std::string& name, const ModelSwap& swap, Response& response) {
  Fill(name, swap.version, swap.hash, *response.mutable_active());
  if (!swap.previous.empty()) {
    Fill(name, swap.previous, swap.previous_hash, *response.mutable_previous());
  }
  *response.mutable_duration() = ToProtoDuration(swap.took);
}

}  // namespace

ModelService::ModelService(ModelServing& models, std::function<void()> on_swap,
                           RunCalibration calibrate, ThreadPool& pool, Authorizer& authorizer,
                           Metrics& metrics)
    : models_(models),
      on_swap_(std::move(on_swap)),
      run_calibration_(std::move(calibrate)),
      pool_(pool),
      changing_({.name = "models", .threads = 1, .max_queued = 16}),
      calibrating_({.name = "calibrate", .threads = 1, .max_queued = 1}),
      list_guard_(authorizer, metrics, kService, "ListModels"),
      get_guard_(authorizer, metrics, kService, "GetModel"),
      load_guard_(authorizer, metrics, kService, "LoadModel"),
      activate_guard_(authorizer, metrics, kService, "ActivateModel"),
      rollback_guard_(authorizer, metrics, kService, "RollbackModel"),
      unload_guard_(authorizer, metrics, kService, "UnloadModel"),
      delete_guard_(authorizer, metrics, kService, "DeleteModel"),
      calibrate_guard_(authorizer, metrics, kService, "Calibrate") {}

ModelService::~ModelService() {
  calibrating_.Stop();
  changing_.Stop();
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  return AnswerOnPool(*context, pool_, list_guard_,
                      [this, request, response] { return List(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return AnswerOnPool(*context, pool_, get_guard_,
                      [this, request, response] { return Get(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::LoadModel(grpc::CallbackServerContext* context,
                                                  const v1::LoadModelRequest* request,
                                                  v1::LoadModelResponse* response) {
  return AnswerOnPool(*context, changing_, load_guard_,
                      [this, request, response] { return Load(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::ActivateModel(grpc::CallbackServerContext* context,
                                                      const v1::ActivateModelRequest* request,
                                                      v1::ActivateModelResponse* response) {
  return AnswerOnPool(*context, changing_, activate_guard_,
                      [this, request, response] { return Activate(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::RollbackModel(grpc::CallbackServerContext* context,
                                                      const v1::RollbackModelRequest* request,
                                                      v1::RollbackModelResponse* response) {
  return AnswerOnPool(*context, changing_, rollback_guard_,
                      [this, request, response] { return RollBack(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::UnloadModel(grpc::CallbackServerContext* context,
                                                    const v1::UnloadModelRequest* request,
                                                    v1::UnloadModelResponse* response) {
  return AnswerOnPool(*context, changing_, unload_guard_,
                      [this, request, response] { return Unload(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::DeleteModel(grpc::CallbackServerContext* context,
                                                    const v1::DeleteModelRequest* request,
                                                    v1::DeleteModelResponse* response) {
  return AnswerOnPool(*context, changing_, delete_guard_,
                      [this, request, response] { return Delete(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::Calibrate(grpc::CallbackServerContext* context,
                                                  const v1::CalibrateRequest* request,
                                                  v1::CalibrateResponse* response) {
  if (const auto caller = calibrate_guard_.Admit(*context); !caller.ok()) {
    return new RefusedCall<grpc::ServerUnaryReactor>(caller.status());
  }
  RpcMetrics& metrics = calibrate_guard_.metrics();
  if (calibrates_.exchange(true)) {
    return Refuse(
        *context, metrics,
        MakeError(absl::StatusCode::kResourceExhausted,
                  "a calibration is running, and the server runs one at a time; try again "
                  "when it has ended",
                  {.reason = reason::kCalibrationRunning, .retry_after = absl::Seconds(10)}));
  }
  return AnswerAdmitted(*context, calibrating_, metrics, [this, request, response] {
    absl::Status status = run_calibration_(*request, *response);
    calibrates_ = false;
    return status;
  });
}

absl::Status ModelService::List(const v1::ListModelsRequest& request,
                                v1::ListModelsResponse& response) {
  if (request.page_size() < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("page_size: ", request.page_size(), " is negative; expected 0 (",
                                  kDefaultPageSize, ") to ", kMaxPageSize),
                     {.reason = reason::kPageSizeInvalid, .field = "page_size"});
  }
  // A token names the last version of the previous page, so it stays valid when versions come and
  // go.
  std::optional<ModelName> last;
  if (!request.page_token().empty()) {
    const auto parsed = ModelName::Parse(request.page_token());
    if (!parsed.ok() || parsed->version.empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("page_token: ", Quote(request.page_token()),
                                    " is not a next_page_token of this server"),
                       {.reason = reason::kPageTokenInvalid, .field = "page_token"});
    }
    last = *parsed;
  }
  if (absl::Status scanned = models_.scanner.Scan(); !scanned.ok()) return scanned;
  const std::vector<ListedVersion> versions = models_.catalog.List();

  const int page_size =
      request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  for (const ListedVersion& listed : versions) {
    if (!request.name().empty() && listed.name != request.name()) continue;
    if (last && !ComesAfter(listed, *last)) continue;
    if (response.models_size() == page_size) {
      const v1::ModelVersion& end = response.models(page_size - 1).model_version();
      response.set_next_page_token(absl::StrCat(end.name(), "@", end.version()));
      break;
    }
    FillModelSummary(listed, *response.add_models());
  }
  return absl::OkStatus();
}

absl::Status ModelService::Get(const v1::GetModelRequest& request, v1::GetModelResponse& response) {
  if (absl::Status scanned = models_.scanner.Scan(); !scanned.ok()) return scanned;
  const absl::StatusOr<ListedVersion> listed = models_.catalog.Find(request.model());
  if (!listed.ok()) return listed.status();
  if (!listed->manifest) {
    return MakeError(absl::StatusCode::kDataLoss, listed->problem.message(),
                     {.reason = reason::kArtifactCorrupt, .field = "model"});
  }
  FillModelCard(*listed, *response.mutable_model());
  return absl::OkStatus();
}

absl::Status ModelService::Load(const v1::LoadModelRequest& request,
                                v1::LoadModelResponse& response) {
  const absl::StatusOr<ModelName> model = ParseVersion(request.model());
  if (!model.ok()) return model.status();
  const absl::StatusOr<LoadedVersion> loaded = models_.lifecycle.Load(model->name, model->version);
  if (!loaded.ok()) return loaded.status();
  const model::Manifest& manifest = loaded->handle->manifest();
  Fill(model->name, model->version, manifest.hash, *response.mutable_model_version());
  response.set_state(ToProto(loaded->state));
  *response.mutable_load_duration() = ToProtoDuration(loaded->took.value_or(absl::ZeroDuration()));
  response.set_device_memory_bytes(loaded->handle->memory_bytes());
  const std::optional<double> score = loaded->handle->probe_score();
  if (loaded->took && score && manifest.probe) {
    response.mutable_probe()->set_score(*score);
    response.mutable_probe()->set_expected_score(manifest.probe->score);
  }
  return absl::OkStatus();
}

absl::Status ModelService::Activate(const v1::ActivateModelRequest& request,
                                    v1::ActivateModelResponse& response) {
  const absl::StatusOr<ModelName> model = ParseVersion(request.model());
  if (!model.ok()) return model.status();
  std::optional<std::string> expected;
  if (request.has_expected_active_version()) expected = request.expected_active_version();
  const absl::StatusOr<ModelSwap> swap =
      models_.lifecycle.Activate(model->name, model->version, expected);
  if (!swap.ok()) return swap.status();
  on_swap_();
  FillSwap(model->name, *swap, response);
  if (swap->probe_score) {
    response.mutable_probe()->set_score(*swap->probe_score);
    if (swap->expected_score) response.mutable_probe()->set_expected_score(*swap->expected_score);
  }
  return absl::OkStatus();
}

absl::Status ModelService::RollBack(const v1::RollbackModelRequest& request,
                                    v1::RollbackModelResponse& response) {
  if (!model::IsValidName(request.name())) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("name: ", Quote(request.name()),
                     " is not the name of a model; a name without version is expected"),
        {.reason = reason::kModelNameInvalid, .field = "name"});
  }
  std::optional<std::string> expected;
  if (request.has_expected_active_version()) expected = request.expected_active_version();
  const absl::StatusOr<ModelSwap> swap = models_.lifecycle.RollBack(request.name(), expected);
  if (!swap.ok()) return swap.status();
  on_swap_();
  FillSwap(request.name(), *swap, response);
  return absl::OkStatus();
}

absl::Status ModelService::Unload(const v1::UnloadModelRequest& request,
                                  v1::UnloadModelResponse& response) {
  const absl::StatusOr<ModelName> model = ParseVersion(request.model());
  if (!model.ok()) return model.status();
  const absl::StatusOr<ReleasedVersion> unloaded =
      models_.lifecycle.Unload(model->name, model->version);
  if (!unloaded.ok()) return unloaded.status();
  Fill(model->name, model->version, unloaded->hash, *response.mutable_model_version());
  response.set_freed_bytes(unloaded->freed_bytes);
  return absl::OkStatus();
}

absl::Status ModelService::Delete(const v1::DeleteModelRequest& request,
                                  v1::DeleteModelResponse& response) {
  const absl::StatusOr<ModelName> model = ParseVersion(request.model());
  if (!model.ok()) return model.status();
  const absl::StatusOr<ReleasedVersion> deleted =
      models_.lifecycle.Delete(model->name, model->version);
  if (!deleted.ok()) return deleted.status();
  Fill(model->name, model->version, deleted->hash, *response.mutable_model_version());
  response.set_freed_bytes(deleted->freed_bytes);
  return absl::OkStatus();
}

}  // namespace proad::server
