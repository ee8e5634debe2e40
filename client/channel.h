// Channels to a server: connecting, waiting for the server, and calls with retries.
//
// A channel is thread-safe and reconnects by itself. A process needs one channel per server or per
// group of servers; DetectionClient, ModelClient and TrainingClient can share it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/request_size.h"
#include "client/retry.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/status.h"

namespace proad::client {

class TokenFile;

struct ChannelOptions {
  // One server: "host:port", "[::1]:port" or "unix:/path". Several servers: "dns:///name:port" or
  // "host1:port,host2:port"; see client/endpoints.h.
  std::string address;
  // Null: no encryption. Secure (client/security.h) sets this field and the next two from files.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // Name that the server's certificate must have. Empty: the name in the address.
  std::string server_name;
  // Token that every call sends. Null: none.
  std::shared_ptr<TokenFile> token;
  // Largest accepted response, in bytes. gRPC's default of 4 MiB is too small for the FLOAT32
  // heatmap of an image with more than a million pixels.
  int max_receive_bytes = 256 << 20;
  // Use the proxy that the environment names (http_proxy and similar variables). Off by default,
  // because such proxies are meant for web traffic and often cannot reach servers on the local
  // network.
  bool use_http_proxy = false;
};

// Creates a channel. Never fails, because the connection is made with the first call. Blocks only
// to resolve the names in a list of servers.
std::shared_ptr<grpc::Channel> Connect(const ChannelOptions& options);

// Blocks until the channel is connected. UNAVAILABLE, with advice in the message, after `timeout`.
absl::Status WaitUntilReachable(grpc::Channel& channel, const std::string& address,
                                absl::Duration timeout);

// Answer of the server's health service (grpc.health.v1.Health).
enum class Health { kServing, kNotServing, kUnknownService };

// Returns the health of `service`; "" is the server as a whole.
absl::StatusOr<Health> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                   const std::string& service, absl::Duration timeout);

// Blocks until the server as a whole is serving: after its start, a server loads its model first.
// UNAVAILABLE after `timeout`. A server without a health service counts as serving.
absl::Status WaitUntilServing(const std::shared_ptr<grpc::Channel>& channel,
                              absl::Duration timeout);

struct CallOptions {
  // Longest duration of a call with all its attempts. absl::InfiniteDuration(): no limit.
  absl::Duration deadline = absl::Seconds(30);
  RetryPolicy retry;
  // Largest request of DetectionClient, in bytes. Raise it with server.max_message_bytes.
  int64_t max_request_bytes = kDefaultMaxRequestBytes;
};

// Makes a call and repeats it as RetryDelay allows. One deadline holds for all attempts. Each call
// of `attempt` gets a new context with the deadline set. Blocks, and sleeps between attempts.
absl::Status CallWithRetry(const CallOptions& options,
                           absl::FunctionRef<grpc::Status(grpc::ClientContext&)> attempt);

}  // namespace proad::client
