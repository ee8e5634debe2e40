// What every command that speaks to a server has in common.
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

// Adds --server (or PROAD_SERVER), --deadline, --tls and the like, and --token-file.
void AddServerOptions(CLI::App& command, ServerOptions& options);

// A connection that stands; UNAVAILABLE, with why, when there is none within the deadline, or
// within five seconds. Errors of client/security.h.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Open(const ServerOptions& options);

// UNAVAILABLE that did not come from the service itself: nobody is there.
bool IsUnreachable(const absl::Status& status);

// Prints the error to standard error; returns the exit code that it deserves.
int Fail(const absl::Status& status);

}  // namespace proad::client
