// The stages of one image: admission, preprocessing, batch, inference, postprocessing, answer.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image_limits.h"
#include "server/batching/admission.h"
#include "server/batching/detection.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/output_budget.h"
#include "server/batching/reading_rule.h"
#include "server/serving/model_catalog.h"
#include "server/telemetry/metrics.h"
#include "server/util/byte_budget.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread. The collaborators are not owned; they
// and the detector must live until every query is answered. Workers that take batches from the
// batcher run the model.
class Detector {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Detection>)>;

  struct Options {
    model::ImageLimits image;
    ReadingRule reading;
    absl::Duration default_deadline = absl::Seconds(30);  // of a query without a deadline
    // Pixels of a heatmap or overlay with the resolution of the image.
    int64_t max_output_pixels = 25'000'000;
    // Bytes that the threads of the pool use at once for pixels. A single image may need more; it
    // is then processed alone.
    int64_t pixel_bytes = 512 << 20;
  };

  Detector(const Options& options, const ModelCatalog& catalog, Admission& admission,
           OutputBudget& output_budget, ThreadPool& pool, DynamicBatcher& batcher,
           Metrics& metrics);
  Detector(const Detector&) = delete;
  Detector& operator=(const Detector&) = delete;

  // Inspects one image. Never blocks. Calls `done` exactly once, outside every lock: before Detect
  // returns when the query is refused, otherwise from another thread. `done` must not block.
  //
  // The version and the threshold are chosen now; a later swap does not change this query. The
  // deadline and the cancel flag are checked before the image is decoded and until the batch is
  // cut. After that the query is answered with its result.
  //   INVALID_ARGUMENT     the image (field "encoded" or "frame....", reasons of
  //                        model/picture/image.h), or an answer with too many pixels
  //                        (OUTPUT_TOO_LARGE)
  //   NOT_FOUND            model, version or category
  //   RESOURCE_EXHAUSTED   admission (QUEUE_FULL, BYTES_FULL, DEADLINE_UNATTAINABLE), answers that
  //                        are not yet written (OUTPUT_FULL), or memory
  //   DEADLINE_EXCEEDED, CANCELLED   while it waited
  //   UNAVAILABLE          model not ready, or draining
  //   INTERNAL             the model failed
  void Detect(DetectQuery query, Done done);

  // Call it after the cancel flag of a query was set: the query is answered CANCELLED soon if it
  // still waits. Returns at once.
  void AnswerCancelled() { batcher_.AnswerCancelled(); }

  // Admits no more queries; the admitted ones are answered.
  void Drain() { admission_.Stop(); }

  const Options& options() const { return options_; }

  // Options::pixel_bytes. Leases of others delay the stages of images.
  ByteBudget& pixel_budget() { return pixels_; }

  // Bytes that the largest image takes at most in one stage, all outputs included.
  static int64_t MaxPixelBytes(const Options& options);

 private:
  // A query and its results so far.
  struct Call;

  absl::Status Admit(Call& call);
  // Reserves the memory of heatmap and overlay.
  absl::Status ReserveOutput(Call& call);
  void Preprocess(std::shared_ptr<Call> call);
  absl::Status Prepare(Call& call) const;
  // A refusal of the batcher, with the time to wait before the next attempt.
  absl::Status WithRetryTime(const absl::Status& status) const;
  void AfterInference(std::shared_ptr<Call> call, absl::StatusOr<InferenceResult> result);
  void Postprocess(Call& call);
  void Finish(Call& call, absl::StatusOr<Detection> result);

  const Options options_;
  const ModelCatalog& catalog_;
  Admission& admission_;
  OutputBudget& output_budget_;
  ThreadPool& pool_;
  DynamicBatcher& batcher_;
  Metrics& metrics_;
  ByteBudget pixels_;
};

}  // namespace proad::server
