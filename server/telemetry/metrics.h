// Everything that the server measures, as Prometheus reads it.
//
// One Metrics, made by the composition root and passed by reference. Labels are resolved once where
// that can be, so that counting is an atomic addition; every label's values are bounded.
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
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/util/mutex.h"

namespace proad::server {

// The steps of a request, in order.
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

// Why a picture was turned away or dropped before it reached a device.
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

// What became of an attempt to let another version serve.
struct ModelSwaps {
  prometheus::Counter& ok;
  prometheus::Counter& failed;  // the version that served goes on
};

// Workers that are in each state now.
struct Workers {
  prometheus::Gauge& serving;
  prometheus::Gauge& quarantined;  // their device is lost, or they hung again and again
};

// Training jobs that are in each state now.
struct TrainJobs {
  prometheus::Gauge& queued;
  prometheus::Gauge& running;
  prometheus::Gauge& succeeded;
  prometheus::Gauge& failed;
  prometheus::Gauge& cancelled;
};

// Training jobs that came to an end, by how.
struct TrainJobsCompleted {
  prometheus::Counter& succeeded;
  prometheus::Counter& failed;
  prometheus::Counter& cancelled;
};

// Calls that were refused for what they showed of themselves.
struct AuthFailures {
  prometheus::Counter& missing;    // no token
  prometheus::Counter& malformed;  // something else than a token
  prometheus::Counter& unknown;    // a token of nobody
  prometheus::Counter& role;       // a token that does not do for this call
};

// Times that replaced files of one kind were taken, or refused and the ones before kept.
struct Reloads {
  prometheus::Counter& ok;
  prometheus::Counter& failed;
};

// Label values of proad_verdicts_total.
enum class VerdictLabel { kNormal, kAnomalous, kUndecided };

// Thread-safety: everything may be used from any thread at any time, except AddRefresher.
class Metrics {
 public:
  // The first so many categories get label values of their own, later ones share "_other".
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
  prometheus::Gauge& inflight_bytes;          // bytes of their pictures
  prometheus::Gauge& inflight_limit;          // requests that admission lets in at once
  prometheus::Gauge& inflight_bytes_limit;    // bytes of pictures that it lets in at once
  prometheus::Gauge& output_bytes;            // reserved for answers that are not yet written
  prometheus::Gauge& output_bytes_limit;      // that may be reserved
  prometheus::Gauge& streams;                 // open DetectStream calls
  prometheus::Gauge& ready;                   // 1 while health says SERVING
  const Workers workers;
  prometheus::Counter& workers_replaced;  // because their batch did not end
  const TrainJobs train_jobs;
  const TrainJobsCompleted train_jobs_completed;
  prometheus::Histogram& train_step_seconds;  // a step of training
  prometheus::Counter& train_images;          // pictures trained on, each time
  prometheus::Gauge& train_last_success;      // when a job last succeeded, seconds since 1970
  const AuthFailures auth_failures;
  const Reloads certificate_reloads;
  const Reloads token_reloads;

  // Counts a verdict, its score, and the score in terms of its threshold (NormalizedScore) where
  // there was one. An empty category is shown as "_none".
  void CountVerdict(absl::string_view category, VerdictLabel verdict, double score,
                    std::optional<double> normalized);

  // Seconds that a worker was busy; call once a worker. `device` is for example "cpu" or "cuda:0".
  prometheus::Counter& WorkerBusySeconds(int worker, const std::string& device);

  // Memory of a device: `kind` is "allocated", "reserved", "free" or "weights".
  void SetDeviceMemory(const std::string& device, const char* kind, uint64_t bytes);

  // proad_model_info{...} 1 while the version serves, and proad_model_quality what was measured of
  // it. `figures` are a manifest's; those that are not means over the seven known ones are left
  // out.
  void SetModelInfo(const std::string& model, const std::string& version, const std::string& hash,
                    const std::map<std::string, double>& figures);
  void ClearModelInfo(const std::string& model, const std::string& version,
                      const std::string& hash);

  // How far the job is that runs in a place: 0 .. concurrency - 1. `phase`: one of "preparing",
  // "encoding", "training", "evaluating", "publishing". `ratio`: done of its phase, 0..1. Without a
  // job the place shows nothing.
  void SetTrainSlot(int slot, absl::string_view phase, double loss, int64_t epoch, double ratio);
  void ClearTrainSlot(int slot);

  // When a certificate ends: "server" or "client_ca".
  void SetCertificateExpiry(const std::string& certificate, absl::Time expiry);

  // `refresh` runs before every scrape, in the scraper's thread, to bring gauges up to date that
  // change by themselves, such as ages. Call before the metrics are exposed; what it uses must
  // outlive the exposure.
  void AddRefresher(std::function<void()> refresh);

  // Everything in Prometheus' text format, as a scrape sees it.
  std::string Serialize() const;

  // What an exposer collects.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  friend class RpcMetrics;
  class Scrape;

  struct CategoryMetrics {
    std::array<prometheus::Counter*, 3> verdicts;  // by VerdictLabel
    prometheus::Histogram* score;
    prometheus::Histogram* normalized;
  };
  const CategoryMetrics& ForCategory(absl::string_view category)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  CategoryMetrics MakeCategory(const std::string& label);

  const std::shared_ptr<Scrape> collectable_;

  Mutex mutex_;
  std::map<std::string, CategoryMetrics, std::less<>> categories_ ABSL_GUARDED_BY(mutex_);
};

// Requests and seconds of one RPC. A service owns one for each of its methods.
class RpcMetrics {
 public:
  // `expected`: codes that are shown from the start, as 0. A rate sees the first answer with such a
  // code; one that first appears with a burst of errors would hide the burst.
  RpcMetrics(Metrics& metrics, std::string rpc,
             std::initializer_list<absl::StatusCode> expected = {absl::StatusCode::kOk});

  // One request was answered.
  void Answered(absl::StatusCode code, absl::Duration took);

 private:
  static constexpr size_t kCodes = 17;

  prometheus::Counter& ForCode(absl::StatusCode code);

  Metrics& metrics_;
  const std::string rpc_;
  prometheus::Histogram& seconds_;
  // Others are made when they are first answered, so that a server does not show hundreds of series
  // that stay 0.
  std::array<std::atomic<prometheus::Counter*>, kCodes> by_code_ = {};
};

}  // namespace proad::server
