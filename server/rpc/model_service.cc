#include "server/rpc/model_service.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/rpc/model_card.h"
#include "server/util/quote.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;

constexpr char kActivateInstead[] =
    "write the version into the file active of the model's directory in the store and restart the "
    "server";

// Whether `listed` comes after "name@version" in the order of ListModels.
bool ComesAfter(const ListedVersion& listed, const ModelName& last) {
  if (listed.name != last.name) return listed.name > last.name;
  return VersionLess(listed.version, last.version);
}

}  // namespace

ModelService::ModelService(ModelRegistry& registry, ThreadPool& pool, Metrics& metrics)
    : registry_(registry),
      pool_(pool),
      list_metrics_(metrics, "ListModels"),
      get_metrics_(metrics, "GetModel"),
      load_(metrics, "LoadModel",
            "the active version of every model is loaded when the server starts"),
      activate_(metrics, "ActivateModel", kActivateInstead),
      rollback_(metrics, "RollbackModel", kActivateInstead),
      unload_(metrics, "UnloadModel", "versions stay loaded until the server ends"),
      delete_(metrics, "DeleteModel", "remove the version's directory from the store"),
      calibrate_(metrics, "Calibrate",
                 "publish the version with its thresholds, or send DetectRequest.threshold") {}

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

}  // namespace proad::server
