// The metrics of the server, for Prometheus.
//
// The composition root creates one Metrics and passes it by reference. Labels are resolved once
// where possible, so that counting is an atomic addition. The number of values of every label is
// bounded.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/util/mutex.h"

namespace proad::server {

// The stages of a request, in order.
struct StageSeconds {
  prometheus::Histogram& queue;        // waiting for a preprocessing thread
  prometheus::Histogram& preprocess;   // decode and resize
  prometheus::Histogram& batch_wait;   // waiting for the batch to be cut and for a worker
  prometheus::Histogram& inference;    // the network, for the whole batch
  prometheus::Histogram& postprocess;  // heatmap and overlay
};

// Why a batch was cut.
struct BatchDispatch {
  prometheus::Counter& full;
  prometheus::Counter& delay;
  prometheus::Counter& deadline;
  prometheus::Counter& idle_worker;
  prometheus::Counter& drain;
};

// Why an image was refused or dropped before it reached a device.
struct Rejected {
  prometheus::Counter& queue_full;             // too many requests waiting
  prometheus::Counter& bytes_full;             // too many bytes in flight
  prometheus::Counter& output_full;            // too many bytes of answers not yet written
  prometheus::Counter& deadline_unattainable;  // the estimated wait exceeds the remaining deadline
  prometheus::Counter& deadline_expired;       // the deadline passed while it waited
  prometheus::Counter& cancelled;              // the client went away while it waited
  prometheus::Counter& draining;               // the server is shutting down
  prometheus::Counter& no_model;               // unknown, or not ready
  prometheus::Counter& no_worker;              // every worker is quarantined
};

// Results of attempts to activate a version.
struct ModelSwaps {
  prometheus::Counter& ok;
  prometheus::Counter& failed;  // the previous version stays active
};

// Workers in each state.
struct Workers {
  prometheus::Gauge& serving;
  prometheus::Gauge& quarantined;  // the device is lost, or several workers hung
};

// Training jobs in each state.
struct TrainJobs {
  prometheus::Gauge& queued;
  prometheus::Gauge& running;
  prometheus::Gauge& succeeded;
  prometheus::Gauge& failed;
  prometheus::Gauge& cancelled;
};

// Training jobs that ended, by outcome.
struct TrainJobsCompleted {
  prometheus::Counter& succeeded;
  prometheus::Counter& failed;
  prometheus::Counter& cancelled;
};

// Calls that were refused because of their credentials.
struct AuthFailures {
  prometheus::Counter& missing;    // no token
  prometheus::Counter& malformed;  // not a token
  prometheus::Counter& unknown;    // a token that is not in the table
  prometheus::Counter& role;       // the role of the token does not allow the call
};

// Reloads of replaced files of one kind. A failed reload keeps the previous files.
struct Reloads {
  prometheus::Counter& ok;
  prometheus::Counter& failed;
};

// Label values of proad_verdicts_total.
enum class VerdictLabel { kNormal, kAnomalous, kUndecided };

// Thread-safety: all methods and members may be used from any thread, except AddRefresher.
class Metrics {
 public:
  // Categories that get a label value of their own: so many that model versions know, and so many
  // that only clients have named. The others share "_other". Two limits, so that clients that
  // invent names leave the label values of real categories free.
  static constexpr size_t kMaxCategories = 64;

  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

 private:
  struct Families;
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::unique_ptr<Families> families_;

 public:
  const StageSeconds stage_seconds;
  const BatchDispatch batch_dispatch;
  const Rejected rejected;
  const ModelSwaps model_swaps;
  prometheus::Histogram& batch_size;          // images
  prometheus::Histogram& model_load_seconds;  // from the directory to warm
  prometheus::Gauge& queue_depth;             // requests admitted and not yet on a worker
  prometheus::Gauge& queue_oldest_seconds;    // age of the oldest of them
  prometheus::Gauge& inflight;                // requests admitted and not yet answered
  prometheus::Gauge& inflight_bytes;          // bytes of their images
  prometheus::Gauge& inflight_limit;          // limit of inflight
  prometheus::Gauge& inflight_bytes_limit;    // limit of inflight_bytes
  prometheus::Gauge& output_bytes;            // reserved for answers that are not yet written
  prometheus::Gauge& output_bytes_limit;      // limit of output_bytes
  prometheus::Gauge& streams;                 // open DetectStream calls
  prometheus::Gauge& ready;                   // 1 while health is SERVING
  prometheus::Counter& codec_warnings;        // of image files, not about their pixels
  const Workers workers;
  prometheus::Counter& workers_replaced;  // because their batch did not end
  const TrainJobs train_jobs;
  const TrainJobsCompleted train_jobs_completed;
  prometheus::Histogram& train_step_seconds;  // a step of training
  prometheus::Counter& train_images;          // images used for training, every use
  prometheus::Gauge& train_last_success;      // when a job last succeeded, seconds since 1970
  const AuthFailures auth_failures;
  const Reloads certificate_reloads;
  const Reloads token_reloads;

  // Counts a verdict, its score, and NormalizedScore where there is a threshold. `known`: the
  // version that inspected the image knows the category. An empty category is shown as "_none".
  void CountVerdict(absl::string_view category, bool known, VerdictLabel verdict, double score,
                    std::optional<double> normalized);

  // Seconds that a worker ran batches. Registers the counter: call it once per worker. `device` is
  // for example "cpu" or "cuda:0".
  prometheus::Counter& WorkerBusySeconds(int worker, const std::string& device);

  // Memory of a device: `kind` is "allocated", "reserved", "free" or "weights".
  void SetDeviceMemory(const std::string& device, const char* kind, uint64_t bytes);

  // Sets proad_model_info{...} to 1 while the version is active, and proad_model_quality to the
  // metrics of its manifest, `figures`. Only the seven known means are shown.
  void SetModelInfo(const std::string& model, const std::string& version, const std::string& hash,
                    const std::map<std::string, double>& figures);
  void ClearModelInfo(const std::string& model, const std::string& version,
                      const std::string& hash);

  // Progress of the job in a slot, 0 to concurrency - 1. `phase` is one of "preparing", "encoding",
  // "training", "evaluating", "publishing"; `ratio` is the finished part of the phase, 0 to 1. A
  // slot without a job has no series.
  void SetTrainSlot(int slot, absl::string_view phase, double loss, int64_t epoch, double ratio);
  void ClearTrainSlot(int slot);

  // The end of validity of a certificate, "server" or "client_ca".
  void SetCertificateExpiry(const std::string& certificate, absl::Time expiry);

  // Adds a function that runs before every scrape, in the thread of the scrape, and updates gauges
  // that change with time, such as ages. Call it before the metrics are exposed; the function must
  // stay valid as long as they are.
  void AddRefresher(std::function<void()> refresh);

  // All metrics in Prometheus' text format, as a scrape reads them.
  std::string Serialize() const;

  // The source of an exposer.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  friend class RpcMetrics;
  class Scrape;

  struct CategoryMetrics {
    std::array<prometheus::Counter*, 3> verdicts;  // by VerdictLabel
    prometheus::Histogram* score;
    prometheus::Histogram* normalized;
  };
  CategoryMetrics ForCategory(absl::string_view category, bool known);
  // The label value of a category: its own, which is then reserved, or "_other".
  std::string ReserveLabel(absl::string_view category, bool known)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CategoryMetrics MakeCategory(const std::string& label);

  const std::shared_ptr<Scrape> collectable_;

  Mutex mutex_;
  std::set<std::string, std::less<>> labels_ ABSL_GUARDED_BY(mutex_);  // reserved
  size_t known_labels_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unknown_labels_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, CategoryMetrics, std::less<>> categories_ ABSL_GUARDED_BY(mutex_);
};

// Requests and seconds of one RPC. A service owns one for each of its methods.
class RpcMetrics {
 public:
  // `expected`: codes whose series start at 0. The rate of a series that appears with its first
  // error does not show that error.
  RpcMetrics(Metrics& metrics, std::string rpc,
             std::initializer_list<absl::StatusCode> expected = {absl::StatusCode::kOk});

  // Counts one answered request.
  void Answered(absl::StatusCode code, absl::Duration took);

 private:
  static constexpr size_t kCodes = 17;

  prometheus::Counter& ForCode(absl::StatusCode code);

  Metrics& metrics_;
  const std::string rpc_;
  prometheus::Histogram& seconds_;
  // Series of other codes are created with the first answer, so that a server does not show
  // hundreds of series that stay 0.
  std::array<std::atomic<prometheus::Counter*>, kCodes> by_code_ = {};
};

}  // namespace proad::server
