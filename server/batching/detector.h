// The road of one image: admission, preprocessing, batch, worker, postprocessing, answer.
#pragma once

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "model/picture/image.h"
#include "server/batching/admission.h"
#include "server/batching/detection.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/output_budget.h"
#include "server/serving/model_catalog.h"
#include "server/telemetry/metrics.h"
#include "server/util/thread_pool.h"

namespace proad::server {

// Thread-safety: all methods may be called from any thread. The collaborators are not owned; they,
// and the detector, must live until every query is answered. Workers take from the batcher beside
// it.
class Detector {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Detection>)>;

  struct Options {
    model::ImageLimits image;
    // Pixels of a heatmap or overlay with the resolution of the image.
    int64_t max_output_pixels = 25'000'000;
    // For a query without a deadline, so that nothing waits for ever.
    absl::Duration default_deadline = absl::Seconds(30);
  };

  Detector(const Options& options, const ModelCatalog& catalog, Admission& admission,
           OutputBudget& output_budget, ThreadPool& pool, DynamicBatcher& batcher,
           Metrics& metrics);
  Detector(const Detector&) = delete;
  Detector& operator=(const Detector&) = delete;

  // Inspects one image. Never blocks. Calls `done` exactly once, outside every lock: before it
  // returns when the query is refused, otherwise from another thread. `done` must not block.
  //
  // The version and the threshold are chosen now; a swap later does not touch this query. The
  // deadline and the cancel flag are looked at before the picture is decoded and until the batch is
  // cut; a query that a worker has is answered with its result.
  //   INVALID_ARGUMENT     the picture (field "encoded" or "frame....", reasons of model/picture/image.h)
  //   NOT_FOUND            model, version or category
  //                        or an answer with too many pixels (OUTPUT_TOO_LARGE)
  //   RESOURCE_EXHAUSTED   admission (QUEUE_FULL, BYTES_FULL, DEADLINE_UNATTAINABLE), answers that
  //                        are not yet written (OUTPUT_FULL), or memory
  //   DEADLINE_EXCEEDED, CANCELLED   while it waited
  //   UNAVAILABLE          model not ready, or draining
  //   INTERNAL             the model failed
  void Detect(DetectQuery query, Done done);

  // Call it after the cancel flag of a query was set: the query is answered CANCELLED soon if it
  // still waits. Returns at once.
  void AnswerCancelled() { batcher_.AnswerCancelled(); }

  // Admits nothing any more; what was admitted is answered.
  void Drain() { admission_.Stop(); }

  const Options& options() const { return options_; }

 private:
  // What a query carries from stage to stage.
  struct Call;

  absl::Status Admit(Call& call);
  // Reserves the memory of heatmap and overlay.
  absl::Status ReserveOutput(Call& call);
  void Preprocess(std::shared_ptr<Call> call);
  absl::Status Prepare(Call& call) const;
  // The batcher's refusal of an image, with the time after which to try again.
  absl::Status Refused(const absl::Status& status) const;
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
};

}  // namespace proad::server
