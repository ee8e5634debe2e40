// Connection to a server, as the commands of `proad` open it from their options.
#pragma once

#include <CLI/App.hpp>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/security.h"

namespace proad::client {

struct ServerOptions {
  std::string address = "localhost:50051";
  absl::Duration deadline = absl::Seconds(30);
  SecurityOptions security;
};

// Adds --server (or PROAD_SERVER), --deadline, the options of TLS, and --token-file.
void AddServerOptions(CLI::App& command, ServerOptions& options);

// Returns a connected channel. UNAVAILABLE, with the cause, when the connection fails within the
// deadline or 5 seconds, whichever is shorter. Also returns the errors of Secure.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Open(const ServerOptions& options);

// Returns true for UNAVAILABLE without a reason of the service, which means that no server was
// reached.
bool IsUnreachable(const absl::Status& status);

// Prints the error to standard error. Returns the matching exit code.
int Fail(const absl::Status& status);

}  // namespace proad::client
