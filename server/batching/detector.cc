#include "server/batching/detector.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "model/picture/decode.h"
#include "model/picture/frame.h"
#include "model/picture/heatmap.h"
#include "model/picture/image_header.h"
#include "model/picture/preprocess.h"
#include "model/picture/resize.h"
#include "server/batching/output_size.h"
#include "server/util/exception_status.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// On the grid of the image: the map (4 bytes), the same while it is resized, and its encoding.
constexpr int64_t kMapBytesPerPixel = 12;
// The blended image, and its PNG file while it grows.
constexpr int64_t kOverlayBytesPerPixel = 9;

absl::Status ProcessingFailed(absl::string_view what) {
  return MakeError(absl::StatusCode::kInternal,
                   absl::StrCat("the image could not be processed: ", what),
                   {.reason = reason::kProcessingFailed});
}

// Calls `step`; an exception of model/ becomes a status.
template <typename Step>
absl::Status Guarded(Step step) {
  try {
    step();
    return absl::OkStatus();
  } catch (...) {
    const TranslatedException error = TranslateCurrentException();
    if (error.kind != ExceptionKind::kUnknown) return error.status;
    return ProcessingFailed(error.status.message());
  }
}

VerdictLabel LabelOf(Verdict verdict) {
  switch (verdict) {
    case Verdict::kNormal:
      return VerdictLabel::kNormal;
    case Verdict::kAnomalous:
      return VerdictLabel::kAnomalous;
    case Verdict::kUndecided:
      return VerdictLabel::kUndecided;
  }
  return VerdictLabel::kUndecided;
}

Admission::Ending EndingOf(const absl::Status& status) {
  if (status.ok()) return Admission::Ending::kInspected;
  return absl::IsDeadlineExceeded(status) ? Admission::Ending::kExpired : Admission::Ending::kOther;
}

// Reads the size that the image claims, in pixels, without decoding it.
void ReadSize(const DetectQuery& query, int64_t& width, int64_t& height) {
  if (const auto* frame = std::get_if<model::FrameView>(&query.image)) {
    width = frame->width;
    height = frame->height;
    return;
  }
  const model::ImageHeader header =
      model::ReadImageHeader(std::get<std::span<const uint8_t>>(query.image));
  width = header.width;
  height = header.height;
}

absl::Status OutputTooLarge(int64_t width, int64_t height, int64_t limit) {
  return MakeError(
      absl::StatusCode::kInvalidArgument,
      absl::StrCat("outputs.resolution: ORIGINAL asks for ", width, " x ", height,
                   " pixels; at most ", limit,
                   " are possible (detect.max_output_pixels); ask for the resolution MODEL"),
      {.reason = reason::kOutputTooLarge,
       .field = "outputs.resolution",
       .metadata = {{"max_output_pixels", absl::StrCat(limit)}}});
}

int64_t OutputBytes(const Detection& detection) {
  int64_t bytes = 0;
  if (detection.heatmap) bytes += static_cast<int64_t>(detection.heatmap->data.size());
  if (detection.overlay) bytes += static_cast<int64_t>(detection.overlay->png.size());
  return bytes;
}

// `diagnostics`: as for DecodeImage.
model::Image Decode(const DetectQuery& query, const model::ImageLimits& limits,
                    model::DecodeDiagnostics* diagnostics = nullptr) {
  if (const auto* frame = std::get_if<model::FrameView>(&query.image)) {
    return model::UnpackFrame(*frame, limits);
  }
  return model::DecodeImage(std::get<std::span<const uint8_t>>(query.image), limits, diagnostics);
}

// Bytes that Decode takes. At most those of the largest image that `limits` allow: a larger one is
// refused before it is decoded.
int64_t DecodeBytesOf(const DetectQuery& query, const model::ImageLimits& limits) {
  if (const auto* frame = std::get_if<model::FrameView>(&query.image)) {
    if (!model::IsWithin(limits, frame->width, frame->height)) return 0;
    return frame->width * frame->height * model::UnpackBytesPerPixel(frame->format);
  }
  return std::min(model::DecodeBytes(std::get<std::span<const uint8_t>>(query.image)),
                  model::MaxDecodeBytes(limits.max_pixels));
}

// Bytes that heatmap and overlay take; 0 on the model's grid, where they are small.
int64_t DrawBytesOf(const DetectQuery& query, const Detection& detection,
                    const model::ImageLimits& limits) {
  if (query.outputs.grid != Grid::kOriginal) return 0;
  const int64_t pixels = int64_t{detection.width} * detection.height;
  int64_t bytes = pixels * kMapBytesPerPixel;
  if (query.outputs.overlay) bytes += DecodeBytesOf(query, limits) + pixels * kOverlayBytesPerPixel;
  return bytes;
}

}  // namespace

int64_t Detector::MaxPixelBytes(const Options& options) {
  const int64_t drawn = std::min(options.image.max_pixels, options.max_output_pixels);
  return std::max(
      model::MaxDecodeBytes(options.image.max_pixels),
      model::MaxDecodeBytes(drawn) + drawn * (kMapBytesPerPixel + kOverlayBytesPerPixel));
}

int64_t DetectQuery::image_bytes() const {
  if (const auto* frame = std::get_if<model::FrameView>(&image)) {
    return static_cast<int64_t>(frame->data.size());
  }
  return static_cast<int64_t>(std::get<std::span<const uint8_t>>(image).size());
}

struct Detector::Call {
  DetectQuery query;
  Done done;
  Admission::Ticket ticket;
  bool known_category = false;  // to the version
  absl::Time stage_start;
  model::PreparedImage prepared;
  std::vector<float> map;  // [map_side, map_side]; empty when nothing but the score is wanted
  Detection detection;     // filled stage by stage
};

Detector::Detector(const Options& options, const ModelCatalog& catalog, Admission& admission,
                   OutputBudget& output_budget, ThreadPool& pool, DynamicBatcher& batcher,
                   Metrics& metrics)
    : options_(options),
      catalog_(catalog),
      admission_(admission),
      output_budget_(output_budget),
      pool_(pool),
      batcher_(batcher),
      metrics_(metrics),
      pixels_(options.pixel_bytes) {}

void Detector::Detect(DetectQuery query, Done done) {
  auto call = std::make_shared<Call>();
  call->query = std::move(query);
  call->done = std::move(done);
  call->stage_start = absl::Now();
  if (call->query.deadline == absl::InfiniteFuture()) {
    call->query.deadline = call->stage_start + options_.default_deadline;
  }
  if (absl::Status status = Admit(*call); !status.ok()) {
    Finish(*call, std::move(status));
    return;
  }
  batcher_.Expect();
  pool_.Post([this, call = std::move(call)]() mutable {
    Preprocess(std::move(call));
    batcher_.Arrived();
  });
}

absl::Status Detector::Admit(Call& call) {
  absl::StatusOr<Admission::Ticket> ticket =
      admission_.Admit(call.query.image_bytes(), call.query.deadline);
  if (!ticket.ok()) return ticket.status();
  call.ticket = *std::move(ticket);

  absl::StatusOr<ModelHandle> model = catalog_.Acquire(call.query.model);
  if (!model.ok()) {
    metrics_.rejected.no_model.Increment();
    return model.status();
  }
  call.detection.model = *std::move(model);

  const model::Manifest& manifest = call.detection.model->manifest();
  const auto recalibrated = catalog_.InForce(*call.detection.model);
  call.known_category = KnowsCategory(manifest, recalibrated.get(), call.query.category);
  absl::StatusOr<Threshold> threshold =
      PickThreshold(manifest, recalibrated.get(), call.query.category, call.query.threshold);
  if (!threshold.ok()) return threshold.status();
  call.detection.threshold = *threshold;
  return ReserveOutput(call);
}

absl::Status Detector::ReserveOutput(Call& call) {
  const DetectOutputs& outputs = call.query.outputs;
  if (!outputs.any()) return absl::OkStatus();
  int64_t width = call.detection.model->map_side();
  int64_t height = width;
  if (outputs.grid == Grid::kOriginal) {
    if (absl::Status status = Guarded([&] { ReadSize(call.query, width, height); }); !status.ok()) {
      return status;
    }
    // Prepare refuses the image: it has no output.
    if (!model::IsWithin(options_.image, width, height)) return absl::OkStatus();
    if (width * height > options_.max_output_pixels) {
      return OutputTooLarge(width, height, options_.max_output_pixels);
    }
  }
  absl::StatusOr<OutputBudget::Reservation> reserved =
      output_budget_.Reserve(MaxOutputBytes(outputs, width, height), admission_.drain_time());
  if (!reserved.ok()) return reserved.status();
  call.detection.output = *std::move(reserved);
  return absl::OkStatus();
}

void Detector::Preprocess(std::shared_ptr<Call> call) {
  ByteBudget::Lease lease = pixels_.Acquire(DecodeBytesOf(call->query, options_.image));
  const absl::Time start = absl::Now();
  StageTimes& times = call->detection.times;
  times.queue = start - call->stage_start;
  metrics_.stage_seconds.queue.Observe(absl::ToDoubleSeconds(times.queue));
  if (IsUnwanted(call->query.deadline, call->query.cancelled, start)) {
    Finish(*call, DropUnwanted(call->query.cancelled, "a preprocessing thread", metrics_));
    return;
  }
  if (absl::Status status = Prepare(*call); !status.ok()) {
    Finish(*call, std::move(status));
    return;
  }
  lease = ByteBudget::Lease();  // the decoded image is gone
  times.preprocess = absl::Now() - start;
  metrics_.stage_seconds.preprocess.Observe(absl::ToDoubleSeconds(times.preprocess));

  InferenceTask task;
  task.model = call->detection.model;
  task.image = std::move(call->prepared);
  task.want_map = call->query.outputs.any();
  task.flow = absl::HashOf(task.model.get(), call->query.category);
  task.deadline = call->query.deadline;
  task.cancelled = call->query.cancelled;
  task.done = [this, call](absl::StatusOr<InferenceResult> result) {
    AfterInference(call, std::move(result));
  };
  if (absl::Status status = batcher_.Enqueue(std::move(task)); !status.ok()) {
    Finish(*call, WithRetryTime(status));
  }
}

absl::Status Detector::WithRetryTime(const absl::Status& status) const {
  if (!absl::IsResourceExhausted(status)) return status;
  metrics_.rejected.queue_full.Increment();
  StatusDetails details = GetDetails(status);
  details.retry_after = admission_.drain_time();
  return MakeError(status.code(), status.message(), details);
}

absl::Status Detector::Prepare(Call& call) const {
  return Guarded([&] {
    const model::Preprocessing& preprocessing = call.detection.model->manifest().preprocessing;
    model::DecodeDiagnostics diagnostics;
    const model::Image image = Decode(call.query, options_.image, &diagnostics);
    metrics_.codec_warnings.Increment(diagnostics.dropped_warnings);
    call.detection.width = image.width;
    call.detection.height = image.height;
    call.detection.inspected_area = model::InspectedArea(image.width, image.height, preprocessing);
    call.prepared = model::Prepare(image, preprocessing);
  });
}

void Detector::AfterInference(std::shared_ptr<Call> call, absl::StatusOr<InferenceResult> result) {
  if (!result.ok()) {
    Finish(*call, result.status());
    return;
  }
  Detection& detection = call->detection;
  detection.score = result->inference.score;
  detection.verdict = Decide(detection.score, detection.threshold);
  detection.times.batch_wait = result->batch_wait;
  detection.times.inference = result->inference_time;
  detection.times.batch_size = result->batch_size;
  metrics_.stage_seconds.batch_wait.Observe(absl::ToDoubleSeconds(result->batch_wait));
  metrics_.stage_seconds.inference.Observe(absl::ToDoubleSeconds(result->inference_time));
  if (!call->query.outputs.any()) {
    Finish(*call, std::move(detection));
    return;
  }
  call->map = std::move(result->inference.map);
  call->prepared = std::move(result->image);
  // On the pool, so that the worker takes its next batch meanwhile.
  pool_.Post([this, call = std::move(call)] { Postprocess(*call); });
}

void Detector::Postprocess(Call& call) {
  const absl::Time start = absl::Now();
  Detection& detection = call.detection;
  const DetectOutputs& outputs = call.query.outputs;
  const model::Manifest& manifest = detection.model->manifest();
  const ByteBudget::Lease lease =
      pixels_.Acquire(DrawBytesOf(call.query, detection, options_.image));
  absl::Status status = Guarded([&] {
    int width = detection.model->map_side();
    int height = width;
    std::vector<float> map = std::move(call.map);
    if (outputs.grid == Grid::kOriginal) {
      map = model::MapToOriginal(map, width, height, detection.width, detection.height,
                                 manifest.preprocessing);
      width = detection.width;
      height = detection.height;
    }
    if (outputs.heatmap) {
      detection.heatmap_encoding = *outputs.heatmap;
      detection.heatmap =
          model::EncodeHeatmap(map, width, height, *outputs.heatmap, manifest.map_range);
    }
    if (!outputs.overlay) return;
    // The full image is decoded a second time. To keep it while it waits for a device would take 3
    // bytes a pixel for every image in flight.
    const model::Box whole{0, 0, width, height};
    if (outputs.grid == Grid::kOriginal) {
      detection.overlay =
          Overlay{width, height,
                  model::RenderOverlay(Decode(call.query, options_.image), map, manifest.map_range,
                                       detection.inspected_area)};
    } else {
      const model::Image seen{call.prepared.width, call.prepared.height,
                              std::move(call.prepared.pixels)};
      detection.overlay = Overlay{width, height,
                                  model::RenderOverlay(model::ResizeBilinear(seen, width, height),
                                                       map, manifest.map_range, whole)};
    }
  });
  // The model has inspected the image, so a fault that appears now is the server's.
  if (absl::IsInvalidArgument(status)) status = ProcessingFailed(status.message());
  if (!status.ok()) {
    Finish(call, std::move(status));
    return;
  }
  detection.output.ShrinkTo(OutputBytes(detection));
  detection.times.postprocess = absl::Now() - start;
  metrics_.stage_seconds.postprocess.Observe(absl::ToDoubleSeconds(detection.times.postprocess));
  Finish(call, std::move(detection));
}

void Detector::Finish(Call& call, absl::StatusOr<Detection> result) {
  if (result.ok() && call.query.counted) {
    metrics_.CountVerdict(call.query.category, call.known_category, LabelOf(result->verdict),
                          result->score, NormalizedScore(result->score, result->threshold));
  }
  // Before the answer, so that a client that sends one image at a time is never refused because of
  // its own last image.
  call.ticket.Release(EndingOf(result.status()));
  call.done(std::move(result));
}

}  // namespace proad::server
