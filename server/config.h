// The configuration of the server, with its defaults. It comes from one YAML file, documented key
// by key in deploy/proad-server.yaml, and from overrides on the command line.
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

// The ports, and limits of every connection.
struct EndpointOptions {
  std::string listen = "127.0.0.1:50051";         // gRPC; port 0 picks one
  std::string metrics_listen = "127.0.0.1:9464";  // HTTP, /metrics; port 0 picks one, "" for none
  int max_message_bytes = 64 << 20;  // of a request; gRPC refuses larger ones without reading them
  int max_calls_per_connection = 1024;               // at once; further calls wait at the client
  absl::Duration keepalive_time = absl::Minutes(2);  // a silent connection is pinged after this
  absl::Duration keepalive_timeout = absl::Seconds(20);  // and closed without an answer within this
  absl::Duration min_ping_interval = absl::Seconds(10);  // clients that ping more often are closed
  int max_metadata_bytes = 16 << 10;                     // of a call
  absl::Duration handshake_timeout = absl::Seconds(20);  // until HTTP/2 and TLS are set up
  absl::Duration max_connection_idle = absl::ZeroDuration();  // without calls; zero: no limit
  absl::Duration max_connection_age = absl::ZeroDuration();   // then asked to close; zero: no limit
  absl::Duration max_connection_age_grace = absl::Minutes(1);  // for its calls to end after that
  int64_t max_memory =
      768 << 20;           // of all connections and messages, roughly; gRPC's resource quota
  bool reflection = true;  // offer the reflection service
};

// Who may call which RPC.
struct AuthOptions {
  std::filesystem::path tokens;  // server/rpc/token_table.h; empty: every client may call every RPC
  bool allow_plaintext = false;  // accept tokens without TLS from other machines
  // Interval of checks for replaced certificates and tokens. Not a key.
  absl::Duration reload_pause = absl::Seconds(1);
};

// The phases after SIGTERM, in this order.
struct ShutdownOptions {
  absl::Duration lame_duck =
      absl::Seconds(5);  // NOT_SERVING, but serves: load balancers react late
  absl::Duration drain_grace = absl::Seconds(30);  // to answer the accepted calls
};

// Training jobs. Resolve sets the empty paths, except data_root.
struct TrainingOptions {
  bool enabled = true;              // false: TrainingService answers UNIMPLEMENTED
  std::filesystem::path data_root;  // root of dataset_path; empty: no such path is allowed
  std::filesystem::path encoders;  // NAME.safetensors or NAME.pth; a preset's own: encoder-tiny, ..
  std::filesystem::path installed_encoders;  // searched after `encoders`; not a key
  TrainScheduler::Options jobs{.jobs = {}};
  DatasetStore::Options datasets;  // of uploaded datasets
  model::ImageReading reading;     // of jobs that state none; not a key
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
  int preprocessing_threads = 0;                 // decode, resize, draw; 0: see Resolve
  Detector::Options detector{.pixel_bytes = 0};  // 0: see Resolve
  Admission::Options admission;
  OutputBudget::Options output;
  DynamicBatcher::Options batching{.batch = {.max_batch = 0}};  // 0: see Resolve
  WorkerPool::Options workers{.workers = 0};                    // 0: see Resolve
  int stream_window = 16;  // frames of one DetectStream that are read and not answered yet
  TrainingOptions training;
};

// All keys, bound to the members of `config`, which must outlive them.
std::vector<Option> ConfigOptions(Config& config);

// Sets the keys of a YAML file in `config`. NOT_FOUND or INVALID_ARGUMENT, with path and line of
// every error; `config` may then be partly changed.
absl::Status ReadConfigFile(const std::filesystem::path& path, Config& config);

// Sets one key, as the command line does. INVALID_ARGUMENT for an unknown key or a bad value.
absl::Status SetOption(Config& config, absl::string_view key, absl::string_view value);

// Checks keys against each other. INVALID_ARGUMENT names the keys that contradict.
absl::Status Validate(const Config& config);

// The machine of a server, as far as the configuration depends on it.
struct Machine {
  std::string device = "cpu";  // "cpu" or "cuda:N": where versions run
  int cores = 1;               // that this process may use
  uint64_t memory = 0;         // bytes that this process may use; 0: not known
  std::vector<MemoryPlace> memory_places = {{"cpu", HostMemory}};
};

// This machine, with the cores and the memory that the control groups of this process allow.
Machine ThisMachine(const std::string& device,
                    std::vector<MemoryPlace> memory_places = {{"cpu", HostMemory}});

// A configuration without open values: no count is 0 for "by default", no path of training is
// empty.
struct ResolvedConfig {
  Config values;
  std::string device;
};

// Sets every value that the configuration leaves open:
//   batching.max_batch     4 on a CPU, 8 on a GPU. A batch of 8 takes little longer than one image
//                          on a GPU; on a CPU it takes as long as its images one after the other,
//                          and the next image waits for all of them.
//   batching.workers       DefaultWorkers
//   preprocessing.threads  one per core
//   preprocessing.max_bytes
//                          an eighth of the memory that this process may use
//   models.torch_threads   stays 0: the cores are divided among the batches in progress
//   training.jobs, .uploads.datasets, .encoders
//                          "jobs", "datasets" and "encoders" beside models.store
//   training.trainer       "proad-trainer" beside this program
//   the installed encoders ../share/proad/weights of the folder of this program
// and copies the values that parts share: the workers to admission, models.store and the limits of
// images to the jobs, these limits to the uploads, the memory places to the models. Pure, except that it reads the path of this
// program.
ResolvedConfig Resolve(Config config, const Machine& machine);

}  // namespace proad::server
