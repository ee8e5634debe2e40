#include "server/rpc/convert.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "server/rpc/proto_time.h"
#include "server/serving/model_name.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr size_t kMaxRequestId = 128;
constexpr size_t kMaxCategory = 128;
constexpr size_t kMaxLabels = 16;
constexpr size_t kMaxLabelKey = 64;
constexpr size_t kMaxLabelValue = 256;

// The message begins with the field.
absl::Status Invalid(const std::string& field, absl::string_view reason, absl::string_view message,
                     std::map<std::string, std::string> metadata = {}) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
      {.reason = std::string(reason), .field = field, .metadata = std::move(metadata)});
}

// An error about the value of an enum, named without the prefix of the enum, or by its number when
// the enum has no such value.
absl::Status Unsupported(const std::string& field, absl::string_view type, std::string name,
                         absl::string_view prefix, int number, absl::string_view supported) {
  if (name.rfind(std::string(prefix), 0) == 0) name = name.substr(prefix.size());
  const std::string problem = name.empty() ? absl::StrCat(number, " is no ", type)
                                           : absl::StrCat(name, " is not supported yet");
  return Invalid(field, name.empty() ? reason::kEnumUnknown : reason::kNotSupported,
                 absl::StrCat(problem, "; supported: ", supported),
                 {{"supported", std::string(supported)}});
}

bool IsRequestId(const std::string& id) {
  return !id.empty() && id.size() <= kMaxRequestId &&
         std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

absl::Status CheckNames(const v1::DetectRequest& request) {
  if (!request.request_id().empty() && !IsRequestId(request.request_id())) {
    return Invalid(
        "request_id", reason::kRequestIdInvalid,
        absl::StrCat(Quote(request.request_id()), " of ", request.request_id().size(),
                     " bytes; at most ", kMaxRequestId, " bytes of printable ASCII are accepted"));
  }
  if (!request.model().empty()) {
    if (auto name = ModelName::Parse(request.model()); !name.ok()) return name.status();
  }
  if (request.category().size() > kMaxCategory) {
    return Invalid("category", reason::kCategoryInvalid,
                   absl::StrCat("has ", request.category().size(), " bytes; at most ", kMaxCategory,
                                " are accepted"));
  }
  if (request.has_threshold() && !(std::isfinite(request.threshold()) && request.threshold() > 0)) {
    return Invalid("threshold", reason::kThresholdInvalid,
                   absl::StrCat("is ", request.threshold(), "; it must be finite and > 0"));
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(const v1::DetectRequest& request) {
  const auto size = static_cast<size_t>(request.labels().size());
  if (size > kMaxLabels) {
    return Invalid("labels", reason::kLabelsInvalid,
                   absl::StrCat("has ", size, " entries; at most ", kMaxLabels, " are accepted"));
  }
  for (const auto& [key, value] : request.labels()) {
    if (key.empty() || key.size() > kMaxLabelKey) {
      return Invalid("labels", reason::kLabelsInvalid,
                     absl::StrCat("the key ", Quote(key), " has ", key.size(), " bytes; 1 to ",
                                  kMaxLabelKey, " are accepted"));
    }
    if (value.size() > kMaxLabelValue) {
      return Invalid("labels", reason::kLabelsInvalid,
                     absl::StrCat("the value of ", Quote(key), " has ", value.size(),
                                  " bytes; at most ", kMaxLabelValue, " are accepted"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<model::PixelFormat> ParsePixelFormat(v1::PixelFormat format) {
  constexpr char kPrefix[] = "PIXEL_FORMAT_";
  std::string supported;
  for (const model::PixelFormatTraits& traits : model::PixelFormats()) {
    if (v1::PixelFormat_Name(format) == absl::StrCat(kPrefix, traits.api_name)) {
      return traits.format;
    }
    absl::StrAppend(&supported, supported.empty() ? "" : ", ", traits.api_name);
  }
  if (format == v1::PIXEL_FORMAT_UNSPECIFIED) {
    return Invalid("frame.pixel_format", reason::kPixelFormatMissing,
                   absl::StrCat("is not set; supported: ", supported));
  }
  return Unsupported("frame.pixel_format", "PixelFormat", v1::PixelFormat_Name(format), kPrefix,
                     format, supported);
}

// `bytes`: the encoded file or the data of the frame.
absl::Status CheckBytes(const std::string& field, const std::string& bytes,
                        const model::ImageLimits& limits) {
  if (bytes.empty()) return Invalid(field, reason::kImageEmpty, "has no bytes");
  const std::string excess = model::BytesExcess(limits, static_cast<int64_t>(bytes.size()));
  if (excess.empty()) return absl::OkStatus();
  return Invalid(field, reason::kImageBytesTooLarge,
                 absl::StrCat("has ", bytes.size(), " bytes; ", excess),
                 {{"max_bytes", absl::StrCat(limits.max_bytes)}});
}

std::span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status ParseImage(const v1::DetectRequest& request, const model::ImageLimits& limits,
                        DetectQuery& query) {
  switch (request.image_case()) {
    case v1::DetectRequest::kEncoded:
      query.image = Bytes(request.encoded());
      return CheckBytes("encoded", request.encoded(), limits);
    case v1::DetectRequest::kFrame: {
      const v1::Frame& frame = request.frame();
      const absl::StatusOr<model::PixelFormat> format = ParsePixelFormat(frame.pixel_format());
      if (!format.ok()) return format.status();
      query.image = model::FrameView{frame.width(), frame.height(), frame.stride(), *format,
                                     Bytes(frame.data())};
      return CheckBytes("frame.data", frame.data(), limits);
    }
    case v1::DetectRequest::IMAGE_NOT_SET:
      break;
  }
  return Invalid("image", reason::kImageMissing,
                 "is not set; encoded or frame must hold the image");
}

absl::Status ParseHeatmap(const v1::Outputs& outputs, DetectOutputs& parsed) {
  switch (outputs.heatmap()) {
    case v1::HEATMAP_FORMAT_UNSPECIFIED:
      return absl::OkStatus();
    case v1::HEATMAP_FORMAT_FLOAT32:
      parsed.heatmap = model::HeatmapEncoding::kFloat32;
      return absl::OkStatus();
    case v1::HEATMAP_FORMAT_U16_SCALED:
      parsed.heatmap = model::HeatmapEncoding::kU16;
      return absl::OkStatus();
    case v1::HEATMAP_FORMAT_U8_SCALED:
      parsed.heatmap = model::HeatmapEncoding::kU8;
      return absl::OkStatus();
    case v1::HEATMAP_FORMAT_PNG16:
      parsed.heatmap = model::HeatmapEncoding::kPng16;
      return absl::OkStatus();
    default:
      return Unsupported("outputs.heatmap", "HeatmapFormat",
                         v1::HeatmapFormat_Name(outputs.heatmap()), "HEATMAP_FORMAT_",
                         outputs.heatmap(), "FLOAT32, U16_SCALED, U8_SCALED, PNG16");
  }
}

absl::StatusOr<DetectOutputs> ParseOutputs(const v1::Outputs& outputs) {
  DetectOutputs parsed;
  if (absl::Status status = ParseHeatmap(outputs, parsed); !status.ok()) return status;
  if (outputs.overlay() != v1::OVERLAY_FORMAT_UNSPECIFIED &&
      outputs.overlay() != v1::OVERLAY_FORMAT_PNG) {
    return Unsupported("outputs.overlay", "OverlayFormat",
                       v1::OverlayFormat_Name(outputs.overlay()), "OVERLAY_FORMAT_",
                       outputs.overlay(), "PNG");
  }
  parsed.overlay = outputs.overlay() == v1::OVERLAY_FORMAT_PNG;
  constexpr char kSupported[] = "heatmap, overlay";
  if (outputs.mask()) return Unsupported("outputs.mask", "", "mask", "", 0, kSupported);
  if (outputs.regions()) return Unsupported("outputs.regions", "", "regions", "", 0, kSupported);
  switch (outputs.resolution()) {
    case v1::RESOLUTION_UNSPECIFIED:
    case v1::RESOLUTION_MODEL:
      parsed.grid = Grid::kModel;
      return parsed;
    case v1::RESOLUTION_ORIGINAL:
      parsed.grid = Grid::kOriginal;
      return parsed;
    default:
      return Unsupported("outputs.resolution", "Resolution",
                         v1::Resolution_Name(outputs.resolution()), "RESOLUTION_",
                         outputs.resolution(), "MODEL, ORIGINAL");
  }
}

v1::HeatmapFormat ToProto(model::HeatmapEncoding encoding) {
  switch (encoding) {
    case model::HeatmapEncoding::kFloat32:
      return v1::HEATMAP_FORMAT_FLOAT32;
    case model::HeatmapEncoding::kU16:
      return v1::HEATMAP_FORMAT_U16_SCALED;
    case model::HeatmapEncoding::kU8:
      return v1::HEATMAP_FORMAT_U8_SCALED;
    case model::HeatmapEncoding::kPng16:
      return v1::HEATMAP_FORMAT_PNG16;
  }
  return v1::HEATMAP_FORMAT_UNSPECIFIED;
}

v1::Verdict ToProto(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNormal:
      return v1::VERDICT_NORMAL;
    case Verdict::kAnomalous:
      return v1::VERDICT_ANOMALOUS;
    case Verdict::kUndecided:
      return v1::VERDICT_UNDECIDED;
  }
  return v1::VERDICT_UNDECIDED;
}

v1::ThresholdSource ToProto(ThresholdSource source) {
  switch (source) {
    case ThresholdSource::kNone:
      return v1::THRESHOLD_SOURCE_NONE;
    case ThresholdSource::kRequest:
      return v1::THRESHOLD_SOURCE_REQUEST;
    case ThresholdSource::kCategory:
      return v1::THRESHOLD_SOURCE_CATEGORY;
    case ThresholdSource::kModel:
      return v1::THRESHOLD_SOURCE_MODEL;
  }
  return v1::THRESHOLD_SOURCE_NONE;
}

void FillTiming(const StageTimes& times, v1::Timing& timing) {
  *timing.mutable_queue() = ToProtoDuration(times.queue);
  *timing.mutable_preprocess() = ToProtoDuration(times.preprocess);
  *timing.mutable_batch_wait() = ToProtoDuration(times.batch_wait);
  *timing.mutable_inference() = ToProtoDuration(times.inference);
  *timing.mutable_postprocess() = ToProtoDuration(times.postprocess);
  timing.set_batch_size(static_cast<uint32_t>(times.batch_size));
}

void FillMaps(Detection& detection, v1::DetectResponse& response) {
  if (detection.heatmap) {
    v1::Heatmap& heatmap = *response.mutable_heatmap();
    heatmap.set_width(detection.heatmap->width);
    heatmap.set_height(detection.heatmap->height);
    heatmap.set_format(ToProto(detection.heatmap_encoding));
    heatmap.set_scale(detection.heatmap->scale);
    heatmap.set_offset(detection.heatmap->offset);
    heatmap.set_data(std::move(detection.heatmap->data));
  }
  if (detection.overlay) {
    const model::MapRange range = detection.model->manifest().map_range;
    v1::Overlay& overlay = *response.mutable_overlay();
    overlay.set_width(detection.overlay->width);
    overlay.set_height(detection.overlay->height);
    overlay.set_format(v1::OVERLAY_FORMAT_PNG);
    overlay.set_data(std::move(detection.overlay->png));
    overlay.set_scale_low(range.low);
    overlay.set_scale_high(range.high);
  }
}

}  // namespace

std::string RequestId(const v1::DetectRequest& request) {
  if (IsRequestId(request.request_id())) return request.request_id();
  static thread_local std::mt19937_64 random(std::random_device{}());
  return absl::StrFormat("%016x%016x", random(), random());
}

absl::StatusOr<DetectQuery> ParseDetectRequest(const v1::DetectRequest& request,
                                               const model::ImageLimits& limits) {
  if (absl::Status status = CheckNames(request); !status.ok()) return status;
  if (absl::Status status = CheckLabels(request); !status.ok()) return status;
  absl::StatusOr<DetectOutputs> outputs = ParseOutputs(request.outputs());
  if (!outputs.ok()) return outputs.status();
  DetectQuery query;
  if (absl::Status status = ParseImage(request, limits, query); !status.ok()) return status;
  query.model = request.model();
  query.category = request.category();
  query.outputs = *outputs;
  if (request.has_threshold()) query.threshold = request.threshold();
  return query;
}

void FillDetectResponse(Detection detection, const std::string& category,
                        v1::DetectResponse& response) {
  const model::Manifest& manifest = detection.model->manifest();
  response.mutable_model_version()->set_name(manifest.name);
  response.mutable_model_version()->set_version(manifest.version);
  response.mutable_model_version()->set_hash(manifest.hash);
  response.set_category(category);
  response.set_score(detection.score);
  if (const auto normalized = NormalizedScore(detection.score, detection.threshold)) {
    response.set_normalized_score(*normalized);
  }
  if (detection.threshold.value) response.set_threshold(*detection.threshold.value);
  response.set_threshold_source(ToProto(detection.threshold.source));
  response.set_verdict(ToProto(detection.verdict));
  FillMaps(detection, response);
  v1::Box& area = *response.mutable_inspected_area();
  area.set_x(detection.inspected_area.x);
  area.set_y(detection.inspected_area.y);
  area.set_width(detection.inspected_area.width);
  area.set_height(detection.inspected_area.height);
  response.set_image_width(detection.width);
  response.set_image_height(detection.height);
  FillTiming(detection.times, *response.mutable_timing());
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNormal:
      return "NORMAL";
    case Verdict::kAnomalous:
      return "ANOMALOUS";
    case Verdict::kUndecided:
      return "UNDECIDED";
  }
  return "UNDECIDED";
}

}  // namespace proad::server
