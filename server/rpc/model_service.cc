#include "server/rpc/model_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/rpc/model_card.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

constexpr char kActivateInstead[] = "activate the version that served before, with ActivateModel";

// Whether `listed` comes after "name@version" in the order of ListModels.
bool ComesAfter(const ListedVersion& listed, const ModelName& last) {
  if (listed.name != last.name) return listed.name > last.name;
  return VersionLess(listed.version, last.version);
}

}  // namespace

ModelService::ModelService(ModelRegistry& registry, SwapVersion swap_version, ThreadPool& pool,
                           Metrics& metrics)
    : registry_(registry),
      swap_version_(std::move(swap_version)),
      pool_(pool),
      loading_({.name = "activate", .threads = 1, .max_queued = 16}),
      list_metrics_(metrics, "ListModels"),
      get_metrics_(metrics, "GetModel"),
      activate_metrics_(metrics, "ActivateModel"),
      load_(metrics, "LoadModel",
            "the active version of every model is loaded when the server starts"),
      rollback_(metrics, "RollbackModel", kActivateInstead),
      unload_(metrics, "UnloadModel", "versions stay loaded until the server ends"),
      delete_(metrics, "DeleteModel", "remove the version's directory from the store"),
      calibrate_(metrics, "Calibrate",
                 "publish the version with its thresholds, or send DetectRequest.threshold") {}

ModelService::~ModelService() { loading_.Stop(); }

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context,
                                                   const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  return AnswerOnPool(*context, pool_, list_metrics_,
                      [this, request, response] { return List(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::GetModel(grpc::CallbackServerContext* context,
                                                 const v1::GetModelRequest* request,
                                                 v1::GetModelResponse* response) {
  return AnswerOnPool(*context, pool_, get_metrics_,
                      [this, request, response] { return Get(*request, *response); });
}

grpc::ServerUnaryReactor* ModelService::ActivateModel(grpc::CallbackServerContext* context,
                                                      const v1::ActivateModelRequest* request,
                                                      v1::ActivateModelResponse* response) {
  return AnswerOnPool(*context, loading_, activate_metrics_,
                      [this, request, response] { return Activate(*request, *response); });
}

absl::Status ModelService::List(const v1::ListModelsRequest& request,
                                v1::ListModelsResponse& response) {
  if (request.page_size() < 0) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("page_size: ", request.page_size(), " is negative; expected 0 (",
                                  kDefaultPageSize, ") to ", kMaxPageSize),
                     {.reason = "PAGE_SIZE_INVALID", .field = "page_size"});
  }
  // A token names the last version of the page before: it holds when versions come and go.
  std::optional<ModelName> last;
  if (!request.page_token().empty()) {
    const auto parsed = ModelName::Parse(request.page_token());
    if (!parsed.ok() || parsed->version.empty()) {
      return MakeError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("page_token: ", Quote(request.page_token()),
                                    " is not a next_page_token of this server"),
                       {.reason = "PAGE_TOKEN_INVALID", .field = "page_token"});
    }
    last = *parsed;
  }
  const absl::StatusOr<std::vector<ListedVersion>> versions = registry_.List();
  if (!versions.ok()) return versions.status();

  const int page_size =
      request.page_size() == 0 ? kDefaultPageSize : std::min(request.page_size(), kMaxPageSize);
  for (const ListedVersion& listed : *versions) {
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
  const absl::StatusOr<ListedVersion> listed = registry_.Find(request.model());
  if (!listed.ok()) return listed.status();
  if (!listed->manifest) {
    return MakeError(absl::StatusCode::kDataLoss, listed->problem.message(),
                     {.reason = "ARTIFACT_CORRUPT", .field = "model"});
  }
  FillModelCard(*listed, *response.mutable_model());
  return absl::OkStatus();
}

absl::Status ModelService::Activate(const v1::ActivateModelRequest& request,
                                    v1::ActivateModelResponse& response) {
  const absl::StatusOr<ModelName> model = ModelName::Parse(request.model());
  if (!model.ok()) return model.status();
  if (model->version.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument,
                     absl::StrCat("model: ", Quote(request.model()),
                                  " names no version; NAME@VERSION is expected"),
                     {.reason = "VERSION_MISSING", .field = "model"});
  }
  std::optional<std::string> expected;
  if (request.has_expected_active_version()) expected = request.expected_active_version();
  const absl::StatusOr<ModelSwap> swap = swap_version_(model->name, model->version, expected);
  if (!swap.ok()) return swap.status();
  response.mutable_active()->set_name(model->name);
  response.mutable_active()->set_version(swap->version);
  response.mutable_active()->set_hash(swap->hash);
  if (!swap->previous.empty()) {
    response.mutable_previous()->set_name(model->name);
    response.mutable_previous()->set_version(swap->previous);
    response.mutable_previous()->set_hash(swap->previous_hash);
  }
  *response.mutable_duration() =
      google::protobuf::util::TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(swap->took));
  if (swap->probe_score) {
    response.mutable_probe()->set_score(*swap->probe_score);
    if (swap->expected_score) response.mutable_probe()->set_expected_score(*swap->expected_score);
  }
  return absl::OkStatus();
}

}  // namespace proad::server
