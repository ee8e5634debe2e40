// Everything about the server that can be set, with its defaults: one YAML file, documented key by
// key in deploy/proad-server.yaml, and the command line's overrides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/batching/admission.h"
#include "server/batching/detector.h"
#include "server/batching/dynamic_batcher.h"
#include "server/batching/output_budget.h"
#include "server/batching/worker_pool.h"
#include "server/jobs/train_scheduler.h"
#include "server/serving/model_serving.h"
#include "server/serving/torch_model.h"
#include "server/telemetry/log.h"
#include "server/uploads/dataset_store.h"
#include "server/util/options.h"
#include "server/util/tls_files.h"

namespace proad::server {

// The ports, and what holds for every connection.
struct EndpointOptions {
  std::string listen = "127.0.0.1:50051";         // gRPC; port 0 picks one
  std::string metrics_listen = "127.0.0.1:9464";  // HTTP, /metrics; port 0 picks one, "" for none
  int max_message_bytes = 64 << 20;               // of a request; gRPC refuses larger ones unread
  int max_calls_per_connection = 1024;            // at once; more wait at the client
  absl::Duration keepalive_time = absl::Minutes(2);      // a silent connection is probed after this
  absl::Duration keepalive_timeout = absl::Seconds(20);  // and closed after this without an answer
  absl::Duration min_ping_interval = absl::Seconds(10);  // clients that ping more often are closed
  int max_metadata_bytes = 16 << 10;                     // of a call
  absl::Duration handshake_timeout = absl::Seconds(20);  // for a connection to say what it is
  absl::Duration max_connection_idle = absl::ZeroDuration();   // without calls; zero: for ever
  absl::Duration max_connection_age = absl::ZeroDuration();    // then asked to go; zero: never
  absl::Duration max_connection_age_grace = absl::Minutes(1);  // for its calls to end, after that
  int64_t max_memory = 768 << 20;  // of all connections and messages, about; gRPC's resource quota
  bool reflection = true;          // tell anyone what RPCs there are
};

// Who may call.
struct AuthOptions {
  std::filesystem::path tokens;  // server/rpc/token_table.h; empty: everybody may do everything
  bool allow_plaintext = false;  // tokens without TLS beyond this machine
  // Between looks for replaced certificates and tokens; two make one. Not a key.
  absl::Duration reload_pause = absl::Seconds(1);
};

// What SIGTERM does, in this order.
struct ShutdownOptions {
  absl::Duration lame_duck = absl::Seconds(5);  // NOT_SERVING, but serves on: balancers learn late
  absl::Duration drain_grace = absl::Seconds(30);  // for what was accepted to be answered
};

// Training jobs. Paths that are empty have a place of their own, see ResolvePaths.
struct TrainingOptions {
  bool enabled = true;              // false: TrainingService answers UNIMPLEMENTED
  std::filesystem::path data_root;  // jail of dataset_path; empty: no such path is allowed
  std::filesystem::path encoders;  // NAME.safetensors or NAME.pth; a preset's own: encoder-tiny, ..
  TrainScheduler::Options jobs{.jobs = {}};
  DatasetStore::Options datasets;  // uploaded ones
};

struct Config {
  LogLevel log_level = LogLevel::kInfo;
  EndpointOptions endpoint;
  TlsFiles tls;
  AuthOptions auth;
  ShutdownOptions shutdown;
  std::filesystem::path store = "/var/lib/proad/models";
  ModelServing::Options models;
  TorchModelOptions torch;
  int preprocessing_threads = 0;  // decode, resize, draw; 0: one a core
  Detector::Options detector;
  Admission::Options admission;
  OutputBudget::Options output;
  DynamicBatcher::Options batching{.batch = {.max_batch = 0}};  // 0: see MaxBatch
  WorkerPool::Options workers{.workers = 0};                    // 0: see WorkerCount
  int stream_window = 16;  // frames of one DetectStream that are read and not yet answered
  TrainingOptions training;
};

// How many images are in a batch at most, where the configuration leaves that open. On a GPU a
// batch of 8 takes hardly longer than one image. On a CPU it takes as long as its images one after
// the other, from two on, and whoever comes next waits for all of it: 4.
size_t MaxBatch(const Config& config, absl::string_view device);

// How many batches are computed at once: WorkersOn(device), where the configuration leaves that
// open.
int WorkerCount(const Config& config, absl::string_view device);

// The keys, bound to the members of `config`, which must outlive them.
std::vector<Option> ConfigOptions(Config& config);

// Reads a file over `config`. NOT_FOUND or INVALID_ARGUMENT, with path and line of every error;
// `config` may then be half changed.
absl::Status ReadConfigFile(const std::filesystem::path& path, Config& config);

// Sets one key, as the command line does. INVALID_ARGUMENT as ReadConfigFile, or for an unknown
// key.
absl::Status SetOption(Config& config, absl::string_view key, absl::string_view value);

// What the range of a single key cannot say. INVALID_ARGUMENT naming the keys that contradict.
absl::Status Validate(const Config& config);

// Fills in what follows from other keys: the folders of training that are empty lie beside the
// store ("jobs", "datasets", "encoders"), the trainer "proad-trainer" beside this program, the
// store of the jobs is models.store, and their pictures have the limits of `image`.
void ResolvePaths(Config& config);

}  // namespace proad::server
