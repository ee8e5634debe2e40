#include "server/telemetry/metrics.h"

#include <prometheus/text_serializer.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/telemetry/process_metrics.h"
#include "server/version.h"

namespace proad::server {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using Buckets = Histogram::BucketBoundaries;

// Covers a tiny network on a GPU and a base network on a busy CPU.
const Buckets kRequestSeconds = {.001, .0025, .005, .01, .025, .05, .1, .25,
                                 .5,   1,     2.5,  5,   10,   30,  60};
const Buckets kLoadSeconds = {.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300};
const Buckets kBatchSizes = {1, 2, 4, 8, 16, 32, 64};
// Image scores are 0 to 2; those of good parts are mostly below 0.1.
const Buckets kScores = {.01, .02, .03, .05, .075, .1, .15, .2, .25, .3, .4, .5, .75, 1, 1.5, 2};
// 0.5 is the threshold. The buckets are fine around it, where a drift changes verdicts.
const Buckets kNormalizedScores = {.1, .2, .3, .35, .4, .45, .5, .55, .6, .65, .7, .8, .9};

// Covers a tiny network on a GPU and a large network on a CPU.
const Buckets kStepSeconds = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};

constexpr const char* kFigures[] = {"image_auroc", "image_ap",     "image_f1_max", "pixel_auroc",
                                    "pixel_ap",    "pixel_f1_max", "aupro"};
constexpr const char* kPhases[] = {"preparing", "encoding", "training", "evaluating", "publishing"};

constexpr char kOtherCategory[] = "_other";
constexpr char kNoCategory[] = "_none";

Family<Counter>& MakeCounter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

Family<Gauge>& MakeGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

Family<Histogram>& MakeHistogram(prometheus::Registry& registry, const char* name,
                                 const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

}  // namespace

struct Metrics::Families {
  explicit Families(prometheus::Registry& registry)
      : requests(MakeCounter(registry, "proad_requests_total",
                             "Requests answered; each image of a stream is one.")),
        request_seconds(MakeHistogram(registry, "proad_request_seconds",
                                      "Seconds from a request's arrival to its answer.")),
        stage_seconds(
            MakeHistogram(registry, "proad_stage_seconds", "Seconds an image spent in a stage.")),
        batch_dispatch(MakeCounter(registry, "proad_batch_dispatch_total",
                                   "Batches sent to a worker, by the reason for cutting them.")),
        rejected(MakeCounter(registry, "proad_rejected_total",
                             "Images refused or dropped before they reached a device.")),
        verdicts(MakeCounter(registry, "proad_verdicts_total", "Verdicts given.")),
        score(MakeHistogram(registry, "proad_score", "Image scores.")),
        normalized_score(MakeHistogram(registry, "proad_normalized_score",
                                       "Image scores relative to their threshold, which is 0.5.")),
        batch_size(MakeHistogram(registry, "proad_batch_size", "Images in a batch.")),
        model_load_seconds(MakeHistogram(registry, "proad_model_load_seconds",
                                         "Seconds to load, check and warm up a version.")),
        model_swaps(MakeCounter(registry, "proad_model_swaps_total",
                                "Attempts to activate a version, by result.")),
        queue_depth(
            MakeGauge(registry, "proad_queue_depth", "Requests admitted and not yet on a worker.")),
        queue_oldest_seconds(MakeGauge(registry, "proad_queue_oldest_seconds",
                                       "Age of the oldest request that waits for a worker.")),
        inflight(MakeGauge(registry, "proad_inflight", "Requests admitted and not yet answered.")),
        inflight_bytes(MakeGauge(registry, "proad_inflight_bytes",
                                 "Bytes of the images of requests in flight.")),
        inflight_limit(MakeGauge(registry, "proad_inflight_limit", "Limit of proad_inflight.")),
        inflight_bytes_limit(
            MakeGauge(registry, "proad_inflight_bytes_limit", "Limit of proad_inflight_bytes.")),
        output_bytes(MakeGauge(registry, "proad_output_bytes",
                               "Bytes reserved for heatmaps and overlays of answers that are not "
                               "yet written.")),
        output_bytes_limit(
            MakeGauge(registry, "proad_output_bytes_limit", "Limit of proad_output_bytes.")),
        streams(MakeGauge(registry, "proad_streams", "Open DetectStream calls.")),
        ready(MakeGauge(registry, "proad_ready", "1 while health is SERVING.")),
        codec_warnings(MakeCounter(registry, "proad_codec_warnings_total",
                                   "Warnings of image codecs that do not concern pixels.")),
        worker_busy(MakeCounter(registry, "proad_worker_busy_seconds_total",
                                "Seconds a worker spent on batches.")),
        workers(MakeGauge(registry, "proad_workers", "Workers, by state.")),
        workers_replaced(MakeCounter(registry, "proad_workers_replaced_total",
                                     "Workers replaced because their batch did not end.")),
        model_info(MakeGauge(registry, "proad_model_info", "1 for every active version.")),
        model_quality(MakeGauge(registry, "proad_model_quality",
                                "Metrics of an active version, measured when it was trained.")),
        device_memory(MakeGauge(
            registry, "proad_device_memory_bytes",
            "Memory of a device: in use by this process, held by this process, free, and used by "
            "the weights of the loaded versions.")),
        train_jobs(MakeGauge(registry, "proad_train_jobs", "Training jobs, by state.")),
        train_completed(MakeCounter(registry, "proad_train_jobs_completed_total",
                                    "Training jobs that ended, by outcome.")),
        train_step_seconds(
            MakeHistogram(registry, "proad_train_step_seconds", "Seconds a training step took.")),
        train_images(MakeCounter(registry, "proad_train_images_total",
                                 "Images used for training, counted at every use.")),
        train_last_success(MakeGauge(registry, "proad_train_last_success_timestamp_seconds",
                                     "Time of the last success of a training job; 0: none.")),
        train_loss(MakeGauge(registry, "proad_train_loss", "Loss of the last step.")),
        train_epoch(MakeGauge(registry, "proad_train_epoch", "Current epoch of training, from 1.")),
        train_progress(MakeGauge(registry, "proad_train_progress_ratio",
                                 "Finished part of the current phase of a training job.")),
        train_phase(
            MakeGauge(registry, "proad_train_phase", "1 for the current phase of a training job.")),
        auth_failures(MakeCounter(registry, "proad_auth_failures_total",
                                  "Calls refused because of their token or its role, by reason.")),
        credential_reloads(
            MakeCounter(registry, "proad_credential_reloads_total",
                        "Reloads of replaced certificates and token files, by result.")),
        certificate_expiry(MakeGauge(registry, "proad_certificate_expiry_timestamp_seconds",
                                     "End of validity of a certificate in use.")),
        build_info(MakeGauge(registry, "proad_build_info",
                             "1, with the version of this program as labels.")) {}

  Family<Counter>& requests;
  Family<Histogram>& request_seconds;
  Family<Histogram>& stage_seconds;
  Family<Counter>& batch_dispatch;
  Family<Counter>& rejected;
  Family<Counter>& verdicts;
  Family<Histogram>& score;
  Family<Histogram>& normalized_score;
  Family<Histogram>& batch_size;
  Family<Histogram>& model_load_seconds;
  Family<Counter>& model_swaps;
  Family<Gauge>& queue_depth;
  Family<Gauge>& queue_oldest_seconds;
  Family<Gauge>& inflight;
  Family<Gauge>& inflight_bytes;
  Family<Gauge>& inflight_limit;
  Family<Gauge>& inflight_bytes_limit;
  Family<Gauge>& output_bytes;
  Family<Gauge>& output_bytes_limit;
  Family<Gauge>& streams;
  Family<Gauge>& ready;
  Family<Counter>& codec_warnings;
  Family<Counter>& worker_busy;
  Family<Gauge>& workers;
  Family<Counter>& workers_replaced;
  Family<Gauge>& model_info;
  Family<Gauge>& model_quality;
  Family<Gauge>& device_memory;
  Family<Gauge>& train_jobs;
  Family<Counter>& train_completed;
  Family<Histogram>& train_step_seconds;
  Family<Counter>& train_images;
  Family<Gauge>& train_last_success;
  Family<Gauge>& train_loss;
  Family<Gauge>& train_epoch;
  Family<Gauge>& train_progress;
  Family<Gauge>& train_phase;
  Family<Counter>& auth_failures;
  Family<Counter>& credential_reloads;
  Family<Gauge>& certificate_expiry;
  Family<Gauge>& build_info;

  Histogram& Stage(const char* stage) {
    return stage_seconds.Add({{"stage", stage}}, kRequestSeconds);
  }
  Counter& Cause(const char* cause) { return batch_dispatch.Add({{"cause", cause}}); }
  Gauge& State(const char* state) { return train_jobs.Add({{"state", state}}); }
  Counter& Outcome(const char* outcome) { return train_completed.Add({{"outcome", outcome}}); }
  Counter& Reason(const char* reason) { return rejected.Add({{"reason", reason}}); }
  Counter& Failure(const char* reason) { return auth_failures.Add({{"reason", reason}}); }
  Reloads ReloadsOf(const char* what) {
    return {credential_reloads.Add({{"what", what}, {"result", "ok"}}),
            credential_reloads.Add({{"what", what}, {"result", "failed"}})};
  }
};

// The source of a scrape: refreshed gauges, the registry and the process metrics.
class Metrics::Scrape : public prometheus::Collectable {
 public:
  explicit Scrape(std::shared_ptr<prometheus::Registry> registry)
      : registry_(std::move(registry)) {}

  void Add(std::function<void()> refresh) { refreshers_.push_back(std::move(refresh)); }

  std::vector<prometheus::MetricFamily> Collect() const override {
    for (const auto& refresh : refreshers_) refresh();
    std::vector<prometheus::MetricFamily> families = registry_->Collect();
    std::vector<prometheus::MetricFamily> process = CollectProcessMetrics();
    families.insert(families.end(), std::make_move_iterator(process.begin()),
                    std::make_move_iterator(process.end()));
    return families;
  }

 private:
  const std::shared_ptr<prometheus::Registry> registry_;
  std::vector<std::function<void()>> refreshers_;
};

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      families_(std::make_unique<Families>(*registry_)),
      stage_seconds{families_->Stage("queue"), families_->Stage("preprocess"),
                    families_->Stage("batch_wait"), families_->Stage("inference"),
                    families_->Stage("postprocess")},
      batch_dispatch{families_->Cause("full"), families_->Cause("delay"),
                     families_->Cause("deadline"), families_->Cause("idle_worker"),
                     families_->Cause("drain")},
      rejected{families_->Reason("queue_full"),       families_->Reason("bytes_full"),
               families_->Reason("output_full"),      families_->Reason("deadline_unattainable"),
               families_->Reason("deadline_expired"), families_->Reason("cancelled"),
               families_->Reason("draining"),         families_->Reason("no_model"),
               families_->Reason("no_worker")},
      model_swaps{families_->model_swaps.Add({{"result", "ok"}}),
                  families_->model_swaps.Add({{"result", "failed"}})},
      batch_size(families_->batch_size.Add({}, kBatchSizes)),
      model_load_seconds(families_->model_load_seconds.Add({}, kLoadSeconds)),
      queue_depth(families_->queue_depth.Add({})),
      queue_oldest_seconds(families_->queue_oldest_seconds.Add({})),
      inflight(families_->inflight.Add({})),
      inflight_bytes(families_->inflight_bytes.Add({})),
      inflight_limit(families_->inflight_limit.Add({})),
      inflight_bytes_limit(families_->inflight_bytes_limit.Add({})),
      output_bytes(families_->output_bytes.Add({})),
      output_bytes_limit(families_->output_bytes_limit.Add({})),
      streams(families_->streams.Add({})),
      ready(families_->ready.Add({})),
      codec_warnings(families_->codec_warnings.Add({})),
      workers{families_->workers.Add({{"state", "serving"}}),
              families_->workers.Add({{"state", "quarantined"}})},
      workers_replaced(families_->workers_replaced.Add({})),
      train_jobs{families_->State("queued"), families_->State("running"),
                 families_->State("succeeded"), families_->State("failed"),
                 families_->State("cancelled")},
      train_jobs_completed{families_->Outcome("succeeded"), families_->Outcome("failed"),
                           families_->Outcome("cancelled")},
      train_step_seconds(families_->train_step_seconds.Add({}, kStepSeconds)),
      train_images(families_->train_images.Add({})),
      train_last_success(families_->train_last_success.Add({})),
      auth_failures{families_->Failure("missing"), families_->Failure("malformed"),
                    families_->Failure("unknown"), families_->Failure("role")},
      certificate_reloads(families_->ReloadsOf("certificate")),
      token_reloads(families_->ReloadsOf("tokens")),
      collectable_(std::make_shared<Scrape>(registry_)) {
  families_->build_info
      .Add({{"version", Version()},
            {"commit", Commit()},
            {"compiler", Compiler()},
            {"libtorch", LibTorchVersion()},
            {"cuda", CudaVersion()}})
      .Set(1);
}

Metrics::~Metrics() = default;

void Metrics::CountVerdict(absl::string_view category, bool known, VerdictLabel verdict,
                           double score, std::optional<double> normalized) {
  const CategoryMetrics metrics = ForCategory(category.empty() ? kNoCategory : category, known);
  metrics.verdicts[static_cast<size_t>(verdict)]->Increment();
  metrics.score->Observe(score);
  if (normalized) metrics.normalized->Observe(*normalized);
}

Metrics::CategoryMetrics Metrics::ForCategory(absl::string_view category, bool known) {
  std::string label;
  {
    MutexLock lock(mutex_);
    label = ReserveLabel(category, known);
    const auto found = categories_.find(label);
    if (found != categories_.end()) return found->second;
  }
  // The registry has a lock of its own. Two threads that come here at once get the same metrics.
  const CategoryMetrics metrics = MakeCategory(label);
  MutexLock lock(mutex_);
  return categories_.emplace(label, metrics).first->second;
}

std::string Metrics::ReserveLabel(absl::string_view category, bool known) {
  if (category == kNoCategory || labels_.contains(category)) return std::string(category);
  size_t& reserved = known ? known_labels_ : unknown_labels_;
  if (reserved >= kMaxCategories) return kOtherCategory;
  ++reserved;
  return *labels_.emplace(category).first;
}

Metrics::CategoryMetrics Metrics::MakeCategory(const std::string& label) {
  const auto verdict = [&](const char* name) {
    return &families_->verdicts.Add({{"category", label}, {"verdict", name}});
  };
  return {{verdict("normal"), verdict("anomalous"), verdict("undecided")},
          &families_->score.Add({{"category", label}}, kScores),
          &families_->normalized_score.Add({{"category", label}}, kNormalizedScores)};
}

Counter& Metrics::WorkerBusySeconds(int worker, const std::string& device) {
  return families_->worker_busy.Add({{"worker", absl::StrCat(worker)}, {"device", device}});
}

void Metrics::SetDeviceMemory(const std::string& device, const char* kind, uint64_t bytes) {
  families_->device_memory.Add({{"device", device}, {"kind", kind}})
      .Set(static_cast<double>(bytes));
}

void Metrics::SetModelInfo(const std::string& model, const std::string& version,
                           const std::string& hash, const std::map<std::string, double>& figures) {
  families_->model_info.Add({{"model", model}, {"version", version}, {"hash", hash}}).Set(1);
  for (const char* figure : kFigures) {
    const auto found = figures.find(figure);
    if (found == figures.end()) continue;
    families_->model_quality.Add({{"model", model}, {"version", version}, {"metric", figure}})
        .Set(found->second);
  }
}

void Metrics::ClearModelInfo(const std::string& model, const std::string& version,
                             const std::string& hash) {
  Family<Gauge>& family = families_->model_info;
  family.Remove(&family.Add({{"model", model}, {"version", version}, {"hash", hash}}));
  Family<Gauge>& quality = families_->model_quality;
  for (const char* figure : kFigures) {
    quality.Remove(&quality.Add({{"model", model}, {"version", version}, {"metric", figure}}));
  }
}

void Metrics::SetTrainSlot(int slot, absl::string_view phase, double loss, int64_t epoch,
                           double ratio) {
  const prometheus::Labels labels = {{"slot", absl::StrCat(slot)}};
  families_->train_loss.Add(labels).Set(loss);
  families_->train_epoch.Add(labels).Set(static_cast<double>(epoch));
  families_->train_progress.Add(labels).Set(ratio);
  for (const char* known : kPhases) {
    families_->train_phase.Add({{"slot", absl::StrCat(slot)}, {"phase", known}})
        .Set(phase == known ? 1 : 0);
  }
}

void Metrics::ClearTrainSlot(int slot) {
  const prometheus::Labels labels = {{"slot", absl::StrCat(slot)}};
  for (Family<Gauge>* family :
       {&families_->train_loss, &families_->train_epoch, &families_->train_progress}) {
    family->Remove(&family->Add(labels));
  }
  Family<Gauge>& phases = families_->train_phase;
  for (const char* known : kPhases) {
    phases.Remove(&phases.Add({{"slot", absl::StrCat(slot)}, {"phase", known}}));
  }
}

void Metrics::SetCertificateExpiry(const std::string& certificate, absl::Time expiry) {
  families_->certificate_expiry.Add({{"certificate", certificate}})
      .Set(static_cast<double>(absl::ToUnixSeconds(expiry)));
}

void Metrics::AddRefresher(std::function<void()> refresh) { collectable_->Add(std::move(refresh)); }

std::string Metrics::Serialize() const {
  return prometheus::TextSerializer().Serialize(collectable_->Collect());
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const { return collectable_; }

RpcMetrics::RpcMetrics(Metrics& metrics, std::string rpc,
                       std::initializer_list<absl::StatusCode> expected)
    : metrics_(metrics),
      rpc_(std::move(rpc)),
      seconds_(metrics.families_->request_seconds.Add({{"rpc", rpc_}}, kRequestSeconds)) {
  for (const absl::StatusCode code : expected) ForCode(code);
}

void RpcMetrics::Answered(absl::StatusCode code, absl::Duration took) {
  seconds_.Observe(absl::ToDoubleSeconds(took));
  ForCode(code).Increment();
}

Counter& RpcMetrics::ForCode(absl::StatusCode code) {
  size_t index = static_cast<size_t>(code);
  if (index >= kCodes) index = static_cast<size_t>(absl::StatusCode::kUnknown);
  Counter* counter = by_code_[index].load(std::memory_order_acquire);
  if (counter == nullptr) {
    // Two threads that come here at once get the same counter.
    counter = &metrics_.families_->requests.Add(
        {{"rpc", rpc_}, {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(index))}});
    by_code_[index].store(counter, std::memory_order_release);
  }
  return *counter;
}

}  // namespace proad::server
