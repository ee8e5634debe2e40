#include "server/config.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/manifest.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

// A request is its picture and a little more: ids, labels, options.
constexpr int64_t kMessageOverheadBytes = 64 << 10;

std::vector<std::pair<std::string, LogLevel>> LogLevels() {
  std::vector<std::pair<std::string, LogLevel>> levels;
  for (const LogLevel level : AllLogLevels()) levels.emplace_back(NameOf(level), level);
  return levels;
}

}  // namespace

std::vector<Option> ConfigOptions(Config& c) {
  const absl::Duration zero = absl::ZeroDuration();
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

      Option::Path("models.store", c.store),
      Option::Text("models.default", c.models.default_model),
      Option::Text("models.device", c.torch.device),
      Option::Integer("models.torch_threads", c.torch.threads, 0, 1024),

      Option::Bytes("image.max_bytes", c.detector.image.max_bytes, 1 << 10, 1LL << 30),
      Option::Integer("image.max_pixels", c.detector.image.max_pixels, 1, 1'000'000'000),
      Option::Integer("image.max_side", c.detector.image.max_side, 1, 65'535),

      Option::Integer("admission.max_images", c.admission.max_images, 1, 1'000'000),
      Option::Bytes("admission.max_bytes", c.admission.max_bytes, 1 << 10, 1LL << 40),

      Option::Integer("preprocessing.threads", c.threads.preprocessing, 0, 1024),

      Option::Integer("batching.max_batch", c.batching.batch.max_batch, 1, 256),
      Option::Time("batching.max_delay", c.batching.batch.max_delay, zero, absl::Seconds(10)),
      Option::Switch("batching.take_when_idle", c.batching.batch.take_when_idle),
      Option::Integer("batching.max_waiting", c.batching.max_waiting, 1, 1'000'000),
      Option::Integer("batching.workers", c.threads.workers, 1, 64),

      Option::Time("detect.default_deadline", c.detector.default_deadline, absl::Milliseconds(1),
                   absl::Hours(1)),
      Option::Integer("detect.stream_window", c.stream_window, 1, 4096),

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
                                  " is too little for a picture of image.max_bytes (", image_bytes,
                                  "); expected at least 64KiB more than that"));
  }
  if (config.admission.max_bytes < image_bytes) {
    errors.push_back(absl::StrCat("admission.max_bytes: ", config.admission.max_bytes,
                                  " could not admit a picture of image.max_bytes (", image_bytes,
                                  "); expected at least that"));
  }
  const std::string& name = config.models.default_model;
  if (!name.empty() && !model::IsValidName(name)) {
    errors.push_back(
        absl::StrCat("models.default: ", Quote(name),
                     " is not possible; expected the name of a model without version, "
                     "1 to 63 of a-z, 0-9, '.', '_' and '-', the first a letter or digit, "
                     "or \"\""));
  }
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
}

}  // namespace proad::server
