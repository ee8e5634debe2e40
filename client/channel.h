// The connection to a server, and what is common to the calls over it.
//
// A channel is thread-safe, cheap to share and reconnects by itself: one per server, or per group
// of servers, and process is right; DetectionClient and ModelClient can share it.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/retry.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/status.h"

namespace proad::client {

class TokenFile;

struct ChannelOptions {
  // "host:port", "[::1]:port" or "unix:/path"; or several servers, as client/endpoints.h says:
  // "dns:///name:port" or "host1:port,host2:port".
  std::string address;
  // Default: plain text. Secure (client/security.h) sets this and the next two from files.
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  // That the server's certificate must be for; "": the address's.
  std::string server_name;
  // Sent with every call; null: none.
  std::shared_ptr<TokenFile> token;
  // Largest answer that is accepted, in bytes. gRPC's own 4 MiB would not hold the float heatmap of
  // a picture of more than a million pixels. What is sent is not limited here: the server states
  // its limit.
  int max_receive_bytes = 256 << 20;
  // Use http_proxy and the like from the environment. Off: they are meant for the web, and would
  // send the traffic to a server in the next hall through the office.
  bool use_http_proxy = false;
};

// Never fails: connecting begins with the first call. Blocks only on the names in a list of
// servers.
std::shared_ptr<grpc::Channel> Connect(const ChannelOptions& options);

// Waits until a connection stands, `timeout` at most. UNAVAILABLE, with what to do, when none does.
absl::Status WaitUntilReachable(grpc::Channel& channel, const std::string& address,
                                absl::Duration timeout);

// What a server's grpc.health.v1.Health says of itself.
enum class Health { kServing, kNotServing, kUnknownService };

// Asks for the health of `service`, "" for the server as a whole.
absl::StatusOr<Health> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                   const std::string& service, absl::Duration timeout);

// Waits until the server as a whole serves, `timeout` at most: a server that has just been started
// loads its model first. UNAVAILABLE when it does not. A server without a health service counts as
// serving.
absl::Status WaitUntilServing(const std::shared_ptr<grpc::Channel>& channel,
                              absl::Duration timeout);

struct CallOptions {
  // For a call with all its attempts; absl::InfiniteDuration() for none.
  absl::Duration deadline = absl::Seconds(30);
  RetryPolicy retry;
};

// Makes a call, again where RetryDelay allows it, all attempts before one deadline. `attempt` is
// given a fresh context with the deadline set. Blocks; sleeps between attempts.
absl::Status CallWithRetry(const CallOptions& options,
                           absl::FunctionRef<grpc::Status(grpc::ClientContext&)> attempt);

}  // namespace proad::client
