#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <climits>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/memory_bound.h"
#include "server/telemetry/log.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// Calls that read the disk are rare and may wait for each other.
ThreadPool::Options Administration() { return {.name = "admin", .threads = 1, .max_queued = 64}; }

// Time between the last answer and the shutdown of gRPC, in which new calls are refused with
// DRAINING. During the shutdown gRPC ends them with CANCELLED, and clients do not know to try
// another server.
constexpr absl::Duration kRefusalTime = absl::Seconds(1);

// Between two searches for unused uploaded datasets.
constexpr absl::Duration kExpiryInterval = absl::Hours(1);

// For the last answers to reach their clients.
constexpr absl::Duration kFlushGrace = absl::Seconds(1);

// "HOST:PORT" with another port.
std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':') + 1), port);
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

// Zero in the configuration means no limit.
int MillisecondsOrNever(absl::Duration duration) {
  return duration == absl::ZeroDuration() ? INT_MAX : Milliseconds(duration);
}

void SetChannelArguments(const EndpointOptions& options, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  // With SO_REUSEPORT two servers would share the connections of one port unnoticed.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_calls_per_connection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_time));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                             Milliseconds(options.keepalive_timeout));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(options.min_ping_interval));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options.max_metadata_bytes);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(options.handshake_timeout));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS,
                             MillisecondsOrNever(options.max_connection_idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             MillisecondsOrNever(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             Milliseconds(options.max_connection_age_grace));
  grpc::ResourceQuota quota("server");
  quota.Resize(static_cast<size_t>(options.max_memory));
  builder.SetResourceQuota(quota);
}

Credentials::Options CredentialOptions(const Config& config) {
  return {.tls = config.tls, .tokens = config.auth.tokens, .pause = config.auth.reload_pause};
}

// The reflection library adds itself to every ServerBuilder of the process.
class WithoutReflection : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins,
                  [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ResolvedConfig& config,
                                                      ModelLoader loader,
                                                      DeviceResolver resolve_device,
                                                      std::function<void()> on_ready) {
  std::unique_ptr<Server> server(new Server(config, std::move(loader), std::move(on_ready)));
  auto credentials =
      Credentials::Load(CredentialOptions(config.values), server->authorizer_, server->metrics_);
  if (!credentials.ok()) return credentials.status();
  server->credentials_ = *std::move(credentials);
  if (absl::Status status = server->models_.scanner.Scan(); !status.ok()) return status;
  if (absl::Status status = server->StartTraining(config, std::move(resolve_device));
      !status.ok()) {
    return status;
  }
  if (absl::Status status = server->Listen(); !status.ok()) return status;
  if (absl::Status status = server->ExposeMetrics(); !status.ok()) return status;
  server->running_ = true;
  server->health_.Start();
  Log(LogLevel::kInfo, "listening",
      {{"grpc", server->grpc_address_},
       {"metrics", server->metrics_address_},
       {"store", server->store_.root().string()},
       {"device", config.device}});
  server->loading_ = std::thread([server = server.get()] {
    server->models_.follower.LoadActive([server] { server->health_.Update(); });
  });
  if (config.values.models.follow_interval > absl::ZeroDuration()) server->follower_.Start();
  return server;
}

Server::Server(const ResolvedConfig& config, ModelLoader loader, std::function<void()> on_ready)
    : config_(config.values),
      health_service_({v1::DetectionService::service_full_name(),
                       v1::ModelService::service_full_name(),
                       v1::TrainingService::service_full_name()}),
      health_([this] { return Ready(); }, [this](bool ready) { PublishHealth(ready); },
              std::move(on_ready)),
      authorizer_(metrics_),
      store_(config_.store),
      models_(config_.models, store_, std::move(loader), metrics_),
      admission_(config_.admission, metrics_),
      output_budget_(config_.output, metrics_),
      batcher_(config_.batching, metrics_),
      preprocessing_({.name = "preprocess", .threads = config_.preprocessing_threads}),
      administration_(Administration()),
      detector_(config_.detector, models_.catalog, admission_, output_budget_, preprocessing_,
                batcher_, metrics_),
      workers_(config_.workers, config.device, batcher_, metrics_, [this] { health_.Update(); }),
      detection_service_({.stream_window = config_.stream_window}, detector_, authorizer_,
                         metrics_),
      calibration_(models_, Calibrator(detector_),
                   [this](const std::string& path, const std::string& id,
                          const std::vector<std::string>& categories) {
                     return OpenPictures(path, id, categories);
                   }),
      model_service_(
          models_, [this] { health_.Update(); },
          [this](const v1::CalibrateRequest& request, v1::CalibrateResponse& response) {
            return calibration_.Run(request, response);
          },
          administration_, authorizer_, metrics_),
      follower_({.name = "model-follower", .interval = config_.models.follow_interval},
                [this] {
                  if (models_.follower.Follow(absl::Now())) health_.Update();
                }),
      dataset_expiry_({.name = "dataset-expiry", .interval = kExpiryInterval, .run_at_start = true},
                      [this] { RemoveExpiredDatasets(); }) {
  metrics_.AddRefresher([this] {
    metrics_.queue_depth.Set(static_cast<double>(batcher_.waiting()));
    metrics_.queue_oldest_seconds.Set(absl::ToDoubleSeconds(batcher_.oldest()));
    metrics_.ready.Set(!leaving_ && Ready() ? 1 : 0);
    MeasureMemory();
  });
}

Server::Training::Training(const TrainingOptions& options, const ModelStore& models,
                           DeviceResolver resolve_device, std::unique_ptr<TrainScheduler> jobs,
                           Authorizer& authorizer, Metrics& metrics)
    : datasets(options.datasets),
      planner({.data_root = options.data_root,
               .encoders = {options.encoders, options.installed_encoders},
               .reading = options.reading},
              datasets, models, std::move(resolve_device)),
      scheduler(std::move(jobs)),
      service(planner, *scheduler, datasets, authorizer, metrics) {}

Server::~Server() { Stop(); }

absl::Status Server::StartTraining(const ResolvedConfig& config, DeviceResolver resolve_device) {
  const TrainingOptions& options = config_.training;
  if (!options.enabled) return absl::OkStatus();
  const auto activate = [this](const std::string& name, const std::string& version) {
    return ActivationAttempt(SwapVersion(name, version, std::nullopt).status(), leaving_);
  };
  TrainScheduler::Options jobs = options.jobs;
  jobs.server_memory =
      static_cast<int64_t>(ComputeMemoryBound(config, MeasureStore(store_.root())).total());
  auto scheduler = TrainScheduler::Start(jobs, activate, metrics_);
  if (!scheduler.ok()) return scheduler.status();
  training_ = std::make_unique<Training>(options, store_, std::move(resolve_device),
                                         *std::move(scheduler), authorizer_, metrics_);
  dataset_expiry_.Start();
  return absl::OkStatus();
}

void Server::RemoveExpiredDatasets() {
  for (const TrainJob& job : training_->scheduler->List()) {
    // Opening a dataset counts as use. The trainer of the job reports a dataset that is missing.
    if (!HasEnded(job.state) && !job.spec.dataset_id.empty()) {
      training_->datasets.Open(job.spec.dataset_id).IgnoreError();
    }
  }
  const int removed = training_->datasets.RemoveExpired(absl::Now());
  if (removed > 0) Log(LogLevel::kInfo, "unused datasets removed", {{"datasets", removed}});
}

absl::StatusOr<ModelSwap> Server::SwapVersion(const std::string& name, const std::string& version,
                                              const std::optional<std::string>& expected_active) {
  absl::StatusOr<ModelSwap> swap = models_.lifecycle.Activate(name, version, expected_active);
  if (swap.ok()) health_.Update();
  return swap;
}

absl::StatusOr<model::Dataset> Server::OpenPictures(
    const std::string& path, const std::string& id,
    const std::vector<std::string>& categories) const {
  if (training_ != nullptr) {
    return training_->planner.Open(
        {.path = path, .id = id, .format = {}, .categories = categories});
  }
  return MakeError(absl::StatusCode::kUnimplemented,
                   "this server reads no datasets (training.enabled is false)",
                   {.reason = reason::kNotOffered});
}

absl::Status Server::Listen() {
  health_.Update();  // before the port opens
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetChannelArguments(config_.endpoint, builder);
  if (!config_.endpoint.reflection) builder.SetOption(std::make_unique<WithoutReflection>());
  int port = 0;
  builder.AddListeningPort(config_.endpoint.listen, credentials_->server(), &port);
  builder.RegisterService(&health_service_);
  builder.RegisterService(&detection_service_);
  builder.RegisterService(&model_service_);
  if (training_ != nullptr) builder.RegisterService(&training_->service);
  grpc_server_ = builder.BuildAndStart();
  if (grpc_server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("server.listen: cannot listen on ", config_.endpoint.listen,
                     ": the port is taken, or this machine does not have the address"));
  }
  grpc_address_ = WithPort(config_.endpoint.listen, port);
  return absl::OkStatus();
}

absl::Status Server::ExposeMetrics() {
  const std::string& listen = config_.endpoint.metrics_listen;
  if (listen.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Exposer>> exposer = Exposer::Start(listen, metrics_.collectable());
  if (!exposer.ok()) {
    return absl::UnavailableError(
        absl::StrCat("server.metrics_listen: ", exposer.status().message()));
  }
  exposer_ = *std::move(exposer);
  metrics_address_ = WithPort(listen, exposer_->port());
  return absl::OkStatus();
}

bool Server::Ready() const { return models_.catalog.Ready() && workers_.serving() > 0; }

void Server::MeasureMemory() {
  for (const MemoryPlace& place : config_.models.memory) {
    const MemoryRoom room = place.measure();
    metrics_.SetDeviceMemory(place.device, "allocated", room.allocated);
    metrics_.SetDeviceMemory(place.device, "reserved", room.reserved);
    metrics_.SetDeviceMemory(place.device, "free", room.free);
  }
  metrics_.SetDeviceMemory(config_.models.memory.back().device, "weights",
                           models_.catalog.memory_bytes());
}

void Server::PublishHealth(bool ready) {
  health_service_.SetServing("", ready);
  health_service_.SetServing(v1::DetectionService::service_full_name(), ready);
  // These need no model: a client that waits for health must be able to ask why there is none.
  health_service_.SetServing(v1::ModelService::service_full_name(), true);
  health_service_.SetServing(v1::TrainingService::service_full_name(), config_.training.enabled);
}

void Server::EnterLameDuck() {
  if (leaving_.exchange(true)) return;
  Log(LogLevel::kInfo, "shutting down: not serving",
      {{"lame_duck", config_.shutdown.lame_duck}, {"in_flight", admission_.in_flight()}});
  models_.loader.Stop();
  health_service_.Shutdown();
}

void Server::Stop() {
  if (running_) Drain();
  running_ = false;
  dataset_expiry_.Stop();
  follower_.Stop();
  if (loading_.joinable()) loading_.join();
  exposer_.reset();
  if (training_ != nullptr) training_->scheduler->Stop();
  batcher_.Close();  // ends the workers
  workers_.Stop();
  administration_.Stop();
  preprocessing_.Stop();
  health_.Stop();
}

void Server::Drain() {
  EnterLameDuck();
  const absl::Time deadline = absl::Now() + config_.shutdown.drain_grace;
  Log(LogLevel::kInfo, "shutting down: draining",
      {{"drain_grace", config_.shutdown.drain_grace}, {"in_flight", admission_.in_flight()}});
  detection_service_.Drain();
  if (training_ != nullptr) training_->service.Drain();
  if (!admission_.AwaitIdle(deadline)) {
    Log(LogLevel::kWarning, "shutting down: grace is over",
        {{"in_flight", admission_.in_flight()}, {"waiting", batcher_.waiting()}});
    batcher_.Abort();
    workers_.AbandonBusyWorkers();
  }
  absl::SleepFor(kRefusalTime);
  health_service_.EndWatches();
  grpc_server_->Shutdown(absl::ToChronoTime(std::max(deadline, absl::Now() + kFlushGrace)));
  Log(LogLevel::kInfo, "shutting down: every call has ended");
}

}  // namespace proad::server
