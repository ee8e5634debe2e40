#include "tests/support/scripted_service.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <opencv2/imgcodecs.hpp>
#include <optional>
#include <stdexcept>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/server_builder.h"
#include "tests/support/scripted_error.h"

namespace proad::testing {
namespace {

using proad::v1::DetectRequest;
using proad::v1::DetectResponse;

struct Script {
  std::string kind;
  int times = std::numeric_limits<int>::max();
  int milliseconds = 0;
};

Script Parse(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  Script script{parts[0]};
  if (parts.size() > 1 && !absl::SimpleAtoi(parts[1], &script.times)) script.times = 0;
  if (parts.size() > 2 && !absl::SimpleAtoi(parts[2], &script.milliseconds)) script.times = 0;
  return script;
}

std::optional<google::rpc::Status> Failure(const Script& script) {
  if (script.kind == "unavailable") return MakeError(grpc::StatusCode::UNAVAILABLE, "not now");
  if (script.kind == "pushback" || script.kind == "full") {
    return MakeError(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  }
  if (script.kind == "reset") {  // as gRPC words it
    return MakeError(grpc::StatusCode::RESOURCE_EXHAUSTED,
                     "Stream removed (RST_STREAM (Received RST_STREAM with error code 11))");
  }
  if (script.kind == "busy") {
    auto status =
        MakeError(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full", "QUEUE_FULL");
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(script.milliseconds * 1000000);
    status.add_details()->PackFrom(retry);
    return status;
  }
  if (script.kind == "invalid") {
    return MakeError(grpc::StatusCode::INVALID_ARGUMENT, "10 is less than the 30 bytes of a row",
                     "STRIDE_TOO_SMALL", "frame.stride");
  }
  if (script.kind == "unknown") {
    return MakeError(grpc::StatusCode::NOT_FOUND, "unknown category; known: pcb",
                     "UNKNOWN_CATEGORY");
  }
  if (script.kind == "internal") return MakeError(grpc::StatusCode::INTERNAL, "the model failed");
  if (script.kind == "expired") return MakeError(grpc::StatusCode::DEADLINE_EXCEEDED, "too late");
  if (script.kind == "cancelled") return MakeError(grpc::StatusCode::CANCELLED, "gone");
  return std::nullopt;
}

// Values of the map: v(i) = 0.25 + 0.01 * i, in every format.
proad::v1::Heatmap MakeHeatmap(proad::v1::HeatmapFormat format, uint32_t width, uint32_t height) {
  proad::v1::Heatmap map;
  map.set_width(width);
  map.set_height(height);
  map.set_format(format);
  const uint32_t samples = width * height;
  cv::Mat grey(static_cast<int>(height), static_cast<int>(width), CV_16UC1);
  for (uint32_t i = 0; i < samples; ++i) grey.ptr<uint16_t>()[i] = static_cast<uint16_t>(1000 * i);
  map.set_scale(0.00001f);
  map.set_offset(0.25f);
  if (format == proad::v1::HEATMAP_FORMAT_FLOAT32) {
    std::vector<float> values(samples);
    for (uint32_t i = 0; i < samples; ++i) values[i] = 0.25f + 0.01f * static_cast<float>(i);
    map.set_scale(1);
    map.set_offset(0);
    map.set_data(values.data(), samples * sizeof(float));
  } else if (format == proad::v1::HEATMAP_FORMAT_U16_SCALED) {
    map.set_data(grey.data, samples * sizeof(uint16_t));
  } else if (format == proad::v1::HEATMAP_FORMAT_U8_SCALED) {
    map.set_scale(0.01f);
    for (uint32_t i = 0; i < samples; ++i) map.mutable_data()->push_back(static_cast<char>(i));
  } else {
    std::vector<uint8_t> png;
    cv::imencode(".png", grey, png);
    map.set_data(png.data(), png.size());
  }
  return map;
}

std::optional<double> Score(const DetectRequest& request) {
  if (request.has_frame()) {
    const std::string& data = request.frame().data();
    const double sum = std::accumulate(data.begin(), data.end(), 0.0, [](double total, char c) {
      return total + static_cast<uint8_t>(c);
    });
    return sum / (255.0 * static_cast<double>(std::max<size_t>(data.size(), 1)));
  }
  const size_t start = request.encoded().find("score=");
  if (start == std::string::npos) return std::nullopt;
  double score = 0;
  const std::vector<std::string> words =
      absl::StrSplit(request.encoded().substr(start + 6), absl::ByAnyChar(" \n"));
  if (!absl::SimpleAtod(words[0], &score)) return std::nullopt;
  return score;
}

std::string Received(const DetectRequest& request) {
  std::string text = absl::StrCat(request.encoded().size(), " encoded bytes");
  if (request.has_frame()) {
    const auto& frame = request.frame();
    text = absl::StrCat(
        absl::StripPrefix(proad::v1::PixelFormat_Name(frame.pixel_format()), "PIXEL_FORMAT_"), " ",
        frame.width(), "x", frame.height(), " stride ", frame.stride(), ", ", frame.data().size(),
        " bytes");
  }
  absl::StrAppend(&text, ", heatmap ", request.outputs().heatmap(), ", resolution ",
                  request.outputs().resolution());
  for (const auto& [key, value] : request.labels()) absl::StrAppend(&text, ", ", key, "=", value);
  return text;
}

// An answer, or the error that the image deserves.
google::rpc::Status Answer(const DetectRequest& request, int call, DetectResponse* response) {
  const Script script = Parse(request.category());
  if (call <= script.times) {
    if (const auto failure = Failure(script)) return *failure;
  }
  const std::optional<double> score = Score(request);
  if (!score) {
    return MakeError(grpc::StatusCode::INVALID_ARGUMENT, "encoded: not a picture", "IMAGE_DAMAGED",
                     "encoded");
  }
  response->set_request_id(request.request_id().empty() ? absl::StrCat("made-up-", call)
                                                        : request.request_id());
  response->mutable_model_version()->set_name(request.model().empty() ? "fake" : request.model());
  response->mutable_model_version()->set_version("1");
  response->mutable_model_version()->set_hash(Received(request));
  response->set_category(request.category());
  response->set_score(*score);
  response->set_threshold_source(proad::v1::THRESHOLD_SOURCE_NONE);
  response->set_verdict(proad::v1::VERDICT_UNDECIDED);
  if (request.has_threshold()) {
    response->set_threshold(request.threshold());
    response->set_normalized_score(std::min(1.0, *score / (2 * request.threshold())));
    response->set_threshold_source(proad::v1::THRESHOLD_SOURCE_REQUEST);
    response->set_verdict(*score >= request.threshold() ? proad::v1::VERDICT_ANOMALOUS
                                                        : proad::v1::VERDICT_NORMAL);
  }
  const bool original = request.outputs().resolution() == proad::v1::RESOLUTION_ORIGINAL;
  const uint32_t width = original ? 6 : 4, height = original ? 5 : 3;
  if (request.outputs().heatmap() != proad::v1::HEATMAP_FORMAT_UNSPECIFIED) {
    *response->mutable_heatmap() = MakeHeatmap(request.outputs().heatmap(), width, height);
  }
  if (request.outputs().overlay() != proad::v1::OVERLAY_FORMAT_UNSPECIFIED) {
    auto* overlay = response->mutable_overlay();
    overlay->set_width(width);
    overlay->set_height(height);
    overlay->set_format(request.outputs().overlay());
    overlay->set_scale_high(0.3f);
    *overlay->mutable_data() = MakeHeatmap(proad::v1::HEATMAP_FORMAT_PNG16, width, height).data();
  }
  response->mutable_inspected_area()->set_width(6);
  response->mutable_inspected_area()->set_height(5);
  response->set_image_width(6);
  response->set_image_height(5);
  response->mutable_timing()->mutable_inference()->set_nanos(7000000);
  response->mutable_timing()->set_batch_size(1);
  return {};
}

proad::v1::ModelSummary Summary(const std::string& name, const std::string& version,
                                proad::v1::ModelState state) {
  proad::v1::ModelSummary summary;
  summary.mutable_model_version()->set_name(name);
  summary.mutable_model_version()->set_version(version);
  summary.mutable_model_version()->set_hash(std::string(64, 'a'));
  summary.set_state(state);
  summary.set_default_model(state == proad::v1::MODEL_STATE_ACTIVE);
  summary.mutable_create_time()->set_seconds(1700000000);
  summary.set_preset("proad-tiny");
  return summary;
}

}  // namespace

grpc::Status ScriptedDetectionService::Detect(grpc::ServerContext* context,
                                              const DetectRequest* request,
                                              DetectResponse* response) {
  int call = 0;
  {
    const std::lock_guard lock(mutex_);
    call = ++calls_[request->category()];
  }
  if (broken_) return grpc::Status(grpc::StatusCode::INTERNAL, "broken");
  const auto status = Answer(*request, call, response);
  const Script script = Parse(request->category());
  if (status.code() != 0 && script.kind == "pushback") {
    context->AddTrailingMetadata("grpc-retry-pushback-ms", absl::StrCat(script.milliseconds));
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, status.message());
  }
  // Some errors come from the connection and have no details at all.
  if (status.details().empty()) {
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()), status.message());
  }
  return ToGrpc(status);
}

grpc::Status ScriptedDetectionService::DetectStream(
    grpc::ServerContext*,
    grpc::ServerReaderWriter<proad::v1::DetectStreamResponse, proad::v1::DetectStreamRequest>*
        stream) {
  proad::v1::DetectStreamRequest message;
  std::optional<proad::v1::DetectStreamResponse> held;
  int call = 0;
  while (stream->Read(&message)) {
    const DetectRequest& request = message.request();
    const std::string kind = Parse(request.category()).kind;
    if (kind == "end") return grpc::Status(grpc::StatusCode::UNAVAILABLE, "going away");
    proad::v1::DetectStreamResponse response;
    response.set_request_id(request.request_id());
    const auto status = Answer(request, ++call, response.mutable_detection());
    if (status.code() != 0) *response.mutable_error() = status;
    if (kind == "late") {
      held = std::move(response);
      continue;
    }
    stream->Write(response);
    if (held) stream->Write(*held);
    held.reset();
  }
  if (held) stream->Write(*held);
  return grpc::Status::OK;
}

int ScriptedDetectionService::Calls(const std::string& script) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(script);
  return found == calls_.end() ? 0 : found->second;
}

grpc::Status ScriptedModelService::ListModels(grpc::ServerContext*,
                                              const proad::v1::ListModelsRequest* request,
                                              proad::v1::ListModelsResponse* response) {
  std::vector<proad::v1::ModelSummary> all = {
      Summary("other", "7", proad::v1::MODEL_STATE_FAILED),
      Summary("proad-tiny", "2", proad::v1::MODEL_STATE_ACTIVE),
      Summary("proad-tiny", "1", proad::v1::MODEL_STATE_STORED),
  };
  all[0].set_state_reason("model.safetensors: SHA-256 differs");
  std::erase_if(all, [&](const auto& model) {
    return !request->name().empty() && model.model_version().name() != request->name();
  });
  const bool second = request->page_token() == "second";
  for (size_t i = second ? 2 : 0; i < std::min<size_t>(all.size(), second ? 3 : 2); ++i) {
    *response->add_models() = all[i];
  }
  if (!second && all.size() > 2) response->set_next_page_token("second");
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::GetModel(grpc::ServerContext*,
                                            const proad::v1::GetModelRequest* request,
                                            proad::v1::GetModelResponse* response) {
  if (!request->model().empty() && request->model() != "proad-tiny" &&
      request->model() != "proad-tiny@2" && request->model() != "screws@3") {
    return ToGrpc(MakeError(grpc::StatusCode::NOT_FOUND,
                            absl::StrCat("no model ", request->model(), "; known: proad-tiny"),
                            "UNKNOWN_MODEL"));
  }
  auto* card = response->mutable_model();
  const auto summary = request->model() == "screws@3"
                           ? Summary("screws", "3", proad::v1::MODEL_STATE_STORED)
                           : Summary("proad-tiny", "2", proad::v1::MODEL_STATE_ACTIVE);
  *card->mutable_model_version() = summary.model_version();
  card->set_state(summary.state());
  card->set_default_model(summary.default_model());
  *card->mutable_create_time() = summary.create_time();
  card->mutable_network()->set_preset("proad-tiny");
  card->mutable_network()->set_width(192);
  card->set_trainable_parameters(4722432);
  auto* calibration = card->add_calibrations();
  calibration->set_category("pcb");
  calibration->set_threshold(0.125);
  calibration->set_false_reject_budget(0.01);
  calibration->set_images(60);
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::ActivateModel(grpc::ServerContext*,
                                                 const proad::v1::ActivateModelRequest* request,
                                                 proad::v1::ActivateModelResponse* response) {
  const std::string& model = request->model();
  if (model != "proad-tiny@1" && model != "proad-tiny@2") {
    return ToGrpc(MakeError(grpc::StatusCode::NOT_FOUND,
                            absl::StrCat("no version ", model, "; known: proad-tiny@1, @2"),
                            "UNKNOWN_MODEL"));
  }
  if (request->has_expected_active_version() && request->expected_active_version() != "2") {
    return ToGrpc(MakeError(grpc::StatusCode::ABORTED, "proad-tiny@2 is active",
                            "UNEXPECTED_ACTIVE_VERSION"));
  }
  const auto active = Summary("proad-tiny", model.substr(model.size() - 1), {});
  *response->mutable_active() = active.model_version();
  *response->mutable_previous() = Summary("proad-tiny", "2", {}).model_version();
  response->mutable_duration()->set_seconds(1);
  response->mutable_probe()->set_expected_score(0.125);
  response->mutable_probe()->set_score(0.125);
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::RollbackModel(grpc::ServerContext*,
                                                 const proad::v1::RollbackModelRequest* request,
                                                 proad::v1::RollbackModelResponse* response) {
  if (request->name() != "proad-tiny") {
    return ToGrpc(MakeError(grpc::StatusCode::FAILED_PRECONDITION,
                            absl::StrCat("no version of ", request->name(), " was active before"),
                            "NO_VERSION_BEFORE"));
  }
  *response->mutable_active() = Summary("proad-tiny", "1", {}).model_version();
  *response->mutable_previous() = Summary("proad-tiny", "2", {}).model_version();
  response->mutable_duration()->set_nanos(100'000'000);
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::LoadModel(grpc::ServerContext*,
                                             const proad::v1::LoadModelRequest*,
                                             proad::v1::LoadModelResponse* response) {
  *response->mutable_model_version() = Summary("proad-tiny", "1", {}).model_version();
  response->set_state(proad::v1::MODEL_STATE_LOADED);
  response->mutable_load_duration()->set_seconds(1);
  response->set_device_memory_bytes(27'000'000);
  return grpc::Status::OK;
}

// One category, whose name is the dataset's.
grpc::Status ScriptedModelService::Calibrate(grpc::ServerContext*,
                                             const proad::v1::CalibrateRequest* request,
                                             proad::v1::CalibrateResponse* response) {
  if (request->false_reject_budget() < 0.01) {
    return ToGrpc(MakeError(grpc::StatusCode::FAILED_PRECONDITION,
                            "category \"nut\" has 20 images of good parts", "TOO_FEW_IMAGES"));
  }
  *response->mutable_model_version() = Summary("proad-tiny", "1", {}).model_version();
  proad::v1::Calibration& calibration = *response->add_calibrations();
  calibration.set_category(request->has_dataset_id() ? request->dataset_id()
                                                     : request->dataset_path());
  calibration.set_threshold(0.125);
  calibration.set_false_reject_budget(request->false_reject_budget());
  calibration.set_images(20);
  calibration.set_rejected(1);
  response->set_applied(!request->validate_only());
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::UnloadModel(grpc::ServerContext*,
                                               const proad::v1::UnloadModelRequest*,
                                               proad::v1::UnloadModelResponse* response) {
  *response->mutable_model_version() = Summary("proad-tiny", "1", {}).model_version();
  response->set_freed_bytes(27'000'000);
  return grpc::Status::OK;
}

grpc::Status ScriptedModelService::DeleteModel(grpc::ServerContext*,
                                               const proad::v1::DeleteModelRequest* request,
                                               proad::v1::DeleteModelResponse* response) {
  if (request->model() == "proad-tiny@2") {
    return ToGrpc(MakeError(grpc::StatusCode::FAILED_PRECONDITION,
                            "proad-tiny@2 is the active version of its name", "MODEL_ACTIVE"));
  }
  *response->mutable_model_version() = Summary("proad-tiny", "1", {}).model_version();
  response->set_freed_bytes(18'000'000);
  return grpc::Status::OK;
}

ScriptedServer::ScriptedServer(const std::string& address) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&detection_);
  builder.RegisterService(&models_);
  builder.RegisterService(&training_);
  server_ = builder.BuildAndStart();
  if (!server_ || port == 0) throw std::runtime_error("no port on the loopback");
  address_ = absl::StrCat("127.0.0.1:", port);
}

void ScriptedServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

ScriptedServer::~ScriptedServer() { server_->Shutdown(std::chrono::system_clock::now()); }

}  // namespace proad::testing
