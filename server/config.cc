#include "server/config.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/spec/manifest.h"
#include "server/batching/output_size.h"
#include "server/util/control_group.h"
#include "server/util/cores.h"
#include "server/util/image_keys.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

// A request is its image and ids, labels and options.
constexpr int64_t kMessageOverheadBytes = 64 << 10;

std::vector<std::pair<std::string, LogLevel>> LogLevels() {
  std::vector<std::pair<std::string, LogLevel>> levels;
  for (const LogLevel level : AllLogLevels()) levels.emplace_back(NameOf(level), level);
  return levels;
}

// Whether only this machine can connect to "HOST:PORT".
bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  in_addr parsed = {};
  return inet_pton(AF_INET, std::string(host).c_str(), &parsed) == 1 &&
         ntohl(parsed.s_addr) >> 24 == IN_LOOPBACKNET;
}

void CheckSecurity(const Config& config, std::vector<std::string>& errors) {
  const TlsFiles& tls = config.tls;
  if (tls.certificate.empty() != tls.key.empty()) {
    errors.push_back(absl::StrCat(
        "server.tls.", tls.key.empty() ? "key" : "certificate", ": is not given, and server.tls.",
        tls.key.empty() ? "certificate" : "key", " is; expected both or neither"));
  }
  if (!tls.client_ca.empty() && tls.certificate.empty()) {
    errors.push_back(
        "server.tls.client_ca: needs TLS; expected server.tls.certificate and server.tls.key "
        "beside it");
  }
  if (!config.auth.tokens.empty() && !tls.enabled() && !config.auth.allow_plaintext &&
      !IsLoopback(config.endpoint.listen)) {
    errors.push_back(absl::StrCat(
        "auth.tokens: clients would send tokens to ", config.endpoint.listen,
        " without encryption; expected server.tls.certificate and server.tls.key, a loopback "
        "address in server.listen, or auth.allow_plaintext: true if something else encrypts"));
  }
}

void ResolvePaths(Config& config) {
  // "models/" has an empty last part.
  const std::filesystem::path store = config.store.lexically_normal();
  const std::filesystem::path parent =
      (store.has_filename() ? store : store.parent_path()).parent_path();
  TrainingOptions& training = config.training;
  if (training.jobs.jobs.empty()) training.jobs.jobs = parent / "jobs";
  if (training.datasets.root.empty()) training.datasets.root = parent / "datasets";
  if (training.encoders.empty()) training.encoders = parent / "encoders";
  std::error_code ignored;
  const std::filesystem::path programs =
      std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  if (training.jobs.trainer.empty()) training.jobs.trainer = programs / "proad-trainer";
  if (training.installed_encoders.empty()) {
    training.installed_encoders = programs.parent_path() / "share/proad/weights";
  }
  training.jobs.store = config.store;
  training.jobs.image = config.detector.image;
  training.datasets.image = config.detector.image;
  training.reading = config.detector.reading.ForJobs();
}

}  // namespace

std::vector<Option> ConfigOptions(Config& c) {
  const absl::Duration zero = absl::ZeroDuration();
  TrainScheduler::Options& jobs = c.training.jobs;
  DatasetStore::Options& uploads = c.training.datasets;
  const std::vector<Option> image = ImageKeys(c.detector.image);
  return {
      Option::Choice<LogLevel>("log.level", c.log_level, LogLevels()),

      Option::Address("server.listen", c.endpoint.listen),
      Option::Address("server.metrics_listen", c.endpoint.metrics_listen, /*optional=*/true),
      Option::Bytes("server.max_message_bytes", c.endpoint.max_message_bytes, 128 << 10,
                    (2LL << 30) - 1),
      Option::Integer("server.max_calls_per_connection", c.endpoint.max_calls_per_connection, 1,
                      100'000),
      Option::Time("server.keepalive_time", c.endpoint.keepalive_time, absl::Seconds(1),
                   absl::Hours(24)),
      Option::Time("server.keepalive_timeout", c.endpoint.keepalive_timeout, absl::Seconds(1),
                   absl::Hours(1)),
      Option::Time("server.min_ping_interval", c.endpoint.min_ping_interval, zero, absl::Hours(1)),
      Option::Bytes("server.max_metadata_bytes", c.endpoint.max_metadata_bytes, 1 << 10, 1 << 20),
      Option::Time("server.handshake_timeout", c.endpoint.handshake_timeout, absl::Seconds(1),
                   absl::Hours(1)),
      Option::Time("server.max_connection_idle", c.endpoint.max_connection_idle, zero,
                   absl::Hours(24)),
      Option::Time("server.max_connection_age", c.endpoint.max_connection_age, zero,
                   absl::Hours(24)),
      Option::Time("server.max_connection_age_grace", c.endpoint.max_connection_age_grace, zero,
                   absl::Hours(24)),
      Option::Bytes("server.max_memory", c.endpoint.max_memory, 64 << 20, 1LL << 40),

      Option::Switch("server.reflection", c.endpoint.reflection),
      Option::Path("server.tls.certificate", c.tls.certificate, /*optional=*/true),
      Option::Path("server.tls.key", c.tls.key, /*optional=*/true),
      Option::Path("server.tls.client_ca", c.tls.client_ca, /*optional=*/true),
      Option::Switch("server.tls.require_client_certificate", c.tls.require_client_certificate),

      Option::Path("auth.tokens", c.auth.tokens, /*optional=*/true),
      Option::Switch("auth.allow_plaintext", c.auth.allow_plaintext),

      Option::Path("models.store", c.store),
      Option::Text("models.default", c.models.default_model),
      Option::Text("models.device", c.torch.device),
      Option::Integer("models.torch_threads", c.torch.threads, 0, 1024),
      Option::Bytes("models.memory_reserve", c.models.memory_reserve, 0, 1LL << 42),
      Option::Time("models.follow_interval", c.models.follow_interval, zero, absl::Hours(1)),

      image[0],
      image[1],
      image[2],
      Option::Choice<std::optional<model::Orientation>>("image.orientation",
                                                        c.detector.reading.orientation,
                                                        {{"version", std::nullopt},
                                                         {"ignore", model::Orientation::kIgnore},
                                                         {"apply", model::Orientation::kApply}}),
      Option::Choice<int>("image.bits", c.detector.reading.bits,
                          {{"0", 0}, {"10", 10}, {"12", 12}, {"14", 14}, {"16", 16}}),

      Option::Integer("admission.max_images", c.admission.max_images, 1, 1'000'000),
      Option::Bytes("admission.max_bytes", c.admission.max_bytes, 1 << 10, 1LL << 40),
      Option::Bytes("admission.max_output_bytes", c.output.max_bytes, 16 << 20, 1LL << 40),

      Option::Integer("preprocessing.threads", c.preprocessing_threads, 0, 1024),
      Option::Bytes("preprocessing.max_bytes", c.detector.pixel_bytes, 0, 1LL << 40),

      Option::Integer("batching.max_batch", c.batching.batch.max_batch, 0, 256),
      Option::Time("batching.max_delay", c.batching.batch.max_delay, zero, absl::Seconds(10)),
      Option::Switch("batching.take_when_idle", c.batching.batch.take_when_idle),
      Option::Switch("batching.adaptive_delay", c.batching.batch.adaptive_delay),
      Option::Integer("batching.max_waiting", c.batching.max_waiting, 1, 1'000'000),
      Option::Integer("batching.workers", c.workers.workers, 0, 64),
      Option::Time("batching.hang_timeout", c.workers.hang_timeout, absl::Milliseconds(10),
                   absl::Hours(1)),

      Option::Time("detect.default_deadline", c.detector.default_deadline, absl::Milliseconds(1),
                   absl::Hours(1)),
      Option::Integer("detect.max_output_pixels", c.detector.max_output_pixels, 1, 200'000'000),
      Option::Integer("detect.stream_window", c.stream_window, 1, 4096),

      Option::Switch("training.enabled", c.training.enabled),
      Option::Path("training.data_root", c.training.data_root, /*optional=*/true),
      Option::Path("training.jobs", jobs.jobs, /*optional=*/true),
      Option::Path("training.encoders", c.training.encoders, /*optional=*/true),
      Option::Path("training.trainer", jobs.trainer, /*optional=*/true),
      Option::Integer("training.concurrency", jobs.concurrency, 1, 16),
      Option::Integer("training.max_queued", jobs.max_queued, 1, 10'000),
      Option::Integer("training.max_watchers", jobs.max_watchers, 1, 100'000),
      Option::Integer("training.nice", jobs.nice, 0, 19),
      Option::Integer("training.threads", jobs.threads, 0, 1024),
      Option::Bytes("training.feature_memory", jobs.feature_memory_bytes, 0, 1LL << 42),
      Option::Bytes("training.memory_limit", jobs.memory_limit_bytes, 0, 1LL << 42),
      Option::Time("training.checkpoint_interval", jobs.checkpoint_interval, zero, absl::Hours(24)),
      Option::Integer("training.max_crashes", jobs.max_crashes, 1, 1000),
      Option::Time("training.keep_ended", jobs.keep_ended, zero, absl::Hours(24 * 3650)),
      Option::Integer("training.max_ended", jobs.max_ended, 0, 100'000),
      Option::Switch("training.checkpoint_on_stop", jobs.checkpoint_on_stop),
      Option::Time("training.checkpoint_grace", jobs.checkpoint_grace, zero, absl::Hours(1)),
      Option::Path("training.uploads.datasets", uploads.root, /*optional=*/true),
      Option::Integer("training.uploads.max_files", uploads.max_files, 1, 10'000'000),
      Option::Bytes("training.uploads.max_file_bytes", uploads.max_file_bytes, 1, 1LL << 40),
      Option::Bytes("training.uploads.max_dataset_bytes", uploads.max_dataset_bytes, 1, 1LL << 50),
      Option::Bytes("training.uploads.min_free_bytes", uploads.min_free_bytes, 0, 1LL << 50),
      Option::Integer("training.uploads.max_uploads", uploads.max_uploads, 1, 10'000),
      Option::Time("training.uploads.keep_unused", uploads.keep_unused, absl::Minutes(1),
                   absl::Hours(24 * 3650)),

      Option::Time("shutdown.lame_duck", c.shutdown.lame_duck, zero, absl::Minutes(10)),
      Option::Time("shutdown.drain_grace", c.shutdown.drain_grace, zero, absl::Hours(1)),
  };
}

absl::Status ReadConfigFile(const std::filesystem::path& path, Config& config) {
  constexpr size_t kMaxBytes = 1 << 20;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": is a directory, not a file"));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return absl::NotFoundError(absl::StrCat(path.string(), ": cannot be read: ", strerror(errno)));
  }
  std::string yaml(kMaxBytes + 1, '\0');
  in.read(yaml.data(), static_cast<std::streamsize>(yaml.size()));
  yaml.resize(static_cast<size_t>(in.gcount()));
  if (yaml.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ": is larger than 1 MiB: not a configuration"));
  }
  return SetFromYaml(yaml, path.string(), ConfigOptions(config));
}

absl::Status SetOption(Config& config, absl::string_view key, absl::string_view value) {
  std::vector<std::string> keys;
  for (const Option& option : ConfigOptions(config)) {
    if (option.key() == key) return option.Set(value);
    keys.push_back(option.key());
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown key ", Quote(key), "; valid keys: ", absl::StrJoin(keys, ", ")));
}

absl::Status Validate(const Config& config) {
  const int64_t image_bytes = config.detector.image.max_bytes;
  std::vector<std::string> errors;
  if (config.endpoint.max_message_bytes < image_bytes + kMessageOverheadBytes) {
    errors.push_back(absl::StrCat("server.max_message_bytes: ", config.endpoint.max_message_bytes,
                                  " is too little for an image of image.max_bytes (", image_bytes,
                                  "); expected at least 64KiB more than that"));
  }
  if (config.admission.max_bytes < image_bytes) {
    errors.push_back(absl::StrCat("admission.max_bytes: ", config.admission.max_bytes,
                                  " is too little for an image of image.max_bytes (", image_bytes,
                                  "); expected at least that"));
  }
  if (const int64_t largest = LargestOutputBytes(config.detector.max_output_pixels);
      config.output.max_bytes < largest) {
    errors.push_back(absl::StrCat("admission.max_output_bytes: ", config.output.max_bytes,
                                  " is too little for an answer of detect.max_output_pixels (",
                                  config.detector.max_output_pixels, "); expected at least ",
                                  largest));
  }
  if (config.endpoint.max_memory < 2 * int64_t{config.endpoint.max_message_bytes}) {
    errors.push_back(absl::StrCat("server.max_memory: ", config.endpoint.max_memory,
                                  " is too little for messages of server.max_message_bytes (",
                                  config.endpoint.max_message_bytes,
                                  "); expected at least twice that"));
  }
  CheckSecurity(config, errors);
  const std::string& name = config.models.default_model;
  if (!name.empty() && !model::IsValidName(name)) {
    errors.push_back(
        absl::StrCat("models.default: ", Quote(name),
                     " is not valid; expected the name of a model without version, "
                     "1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit, "
                     "or \"\""));
  }
  const DatasetStore::Options& uploads = config.training.datasets;
  if (uploads.max_dataset_bytes < uploads.max_file_bytes) {
    errors.push_back(absl::StrCat("training.uploads.max_dataset_bytes: ", uploads.max_dataset_bytes,
                                  " is less than training.uploads.max_file_bytes (",
                                  uploads.max_file_bytes, "); expected at least that"));
  }
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
}

Machine ThisMachine(const std::string& device, std::vector<MemoryPlace> memory_places) {
  return {.device = device,
          .cores = UsableCores(),
          .memory = UsableMemory(),
          .memory_places = std::move(memory_places)};
}

ResolvedConfig Resolve(Config config, const Machine& machine) {
  size_t& max_batch = config.batching.batch.max_batch;
  if (max_batch == 0) max_batch = machine.device == "cpu" ? 4 : 8;
  int& workers = config.workers.workers;
  if (workers == 0) workers = DefaultWorkers(machine.device, machine.cores);
  if (config.preprocessing_threads == 0) config.preprocessing_threads = machine.cores;
  int64_t& pixel_bytes = config.detector.pixel_bytes;
  if (pixel_bytes == 0) {
    pixel_bytes = machine.memory > 0 ? static_cast<int64_t>(machine.memory / 8)
                                     : Detector::Options().pixel_bytes;
  }
  config.admission.at_once = workers;
  config.models.memory = machine.memory_places;
  ResolvePaths(config);
  return {std::move(config), machine.device};
}

}  // namespace proad::server
