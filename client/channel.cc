#include "client/channel.h"

#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <chrono>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/endpoints.h"
#include "client/error.h"
#include "client/token_file.h"
#include "client/wait.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace proad::client {
namespace {

// gRPC's default pauses between connection attempts (1 to 120 seconds) are too long to wait for a
// server that restarts.
constexpr int kInitialReconnectMilliseconds = 100;
// The argument GRPC_ARG_MIN_RECONNECT_BACKOFF_MS also limits the duration of one attempt. A TLS
// handshake over a slow line takes longer than the pause between attempts.
constexpr int kConnectMilliseconds = 5000;
constexpr int kMaxReconnectMilliseconds = 2000;

// Keepalive detects a server whose host has disappeared; without it, a watch would block until TCP
// times out. Servers close connections that send pings more often than every five minutes.
constexpr int kKeepaliveMilliseconds = 330'000;
constexpr int kKeepaliveTimeoutMilliseconds = 20'000;

constexpr absl::Duration kHealthPollInterval = absl::Milliseconds(100);

}  // namespace

std::shared_ptr<grpc::Channel> Connect(const ChannelOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, options.use_http_proxy ? 1 : 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kInitialReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Ignores retry policies from DNS: RetryDelay decides about retries.
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  const Endpoints endpoints = ParseEndpoints(options.address);
  SetBalancing(endpoints, arguments);
  if (!options.server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.server_name);
  }
  const auto credentials =
      options.credentials ? options.credentials : grpc::InsecureChannelCredentials();
  if (options.token == nullptr) {
    return grpc::CreateCustomChannel(endpoints.target, credentials, arguments);
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      endpoints.target, credentials, arguments, SendToken(options.token));
}

absl::Status WaitUntilReachable(grpc::Channel& channel, const std::string& address,
                                absl::Duration timeout) {
  if (channel.WaitForConnected(ToDeadline(absl::Now() + timeout))) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("no server answers at ", address, " (waited ", absl::FormatDuration(timeout),
                   "). Check that proad-server runs and that this is its gRPC address."));
}

absl::StatusOr<Health> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                   const std::string& service, absl::Duration timeout) {
  // HealthCheckRequest {string service = 1} has the wire format of StringValue, and
  // HealthCheckResponse {ServingStatus status = 1} that of Int32Value, so no generated stubs of the
  // health service are needed.
  grpc::TemplatedGenericStub<google::protobuf::StringValue, google::protobuf::Int32Value> stub(
      channel);
  grpc::ClientContext context;
  context.set_deadline(ToDeadline(absl::Now() + timeout));
  google::protobuf::StringValue request;
  request.set_value(service);
  google::protobuf::Int32Value response;
  grpc::Status status;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) return Health::kUnknownService;
  if (!status.ok()) return ToStatus(status, context);
  constexpr int kServingOnTheWire = 1;
  return response.value() == kServingOnTheWire ? Health::kServing : Health::kNotServing;
}

absl::Status WaitUntilServing(const std::shared_ptr<grpc::Channel>& channel,
                              absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    const absl::StatusOr<Health> health = CheckHealth(channel, "", deadline - absl::Now());
    if (health.ok() ? *health != Health::kNotServing : absl::IsUnimplemented(health.status())) {
      return absl::OkStatus();
    }
    if (absl::Now() + kHealthPollInterval >= deadline) {
      return absl::UnavailableError(absl::StrCat(
          "the server answers, but was not serving within ", absl::FormatDuration(timeout),
          ": it is loading its model, has no model, or is shutting down"));
    }
    absl::SleepFor(kHealthPollInterval);
  }
}

absl::Status CallWithRetry(const CallOptions& options,
                           absl::FunctionRef<grpc::Status(grpc::ClientContext&)> attempt) {
  const absl::Time deadline = absl::Now() + options.deadline;
  for (int attempts = 1;; ++attempts) {
    grpc::ClientContext context;
    if (deadline != absl::InfiniteFuture()) context.set_deadline(ToDeadline(deadline));
    absl::Status status = ToStatus(attempt(context), context);
    if (status.ok()) return status;
    thread_local absl::BitGen random;
    const auto delay = RetryDelay(options.retry, status, attempts, deadline - absl::Now(),
                                  absl::Uniform(random, 0.0, 1.0));
    if (!delay) return status;
    absl::SleepFor(*delay);
  }
}

}  // namespace proad::client
