#include "client/cli/connection.h"

#include <CLI/Config.hpp>
#include <algorithm>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/exit_code.h"
#include "client/cli/options.h"
#include "client/error.h"

namespace proad::client {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

}  // namespace

void AddServerOptions(CLI::App& command, ServerOptions& options) {
  command
      .add_option("--server", options.address,
                  "host:port of the server; or of several that take turns: host:port,host:port, or "
                  "dns:///name:port for all that a name means")
      ->envname("PROAD_SERVER")
      ->type_name("ADDRESS")
      ->capture_default_str()
      ->check([](const std::string& address) -> std::string {
        // The word after --server is taken whatever it is: without this check another option would
        // be.
        const bool option = address.empty() || address[0] == '-';
        const bool dns = absl::StartsWith(address, "dns:///");
        if (!option && (dns || !absl::StrContains(address, "://"))) return "";
        return absl::StrCat("'", address,
                            "' is not an address: give host:port without http://, for example "
                            "localhost:50051");
      });
  AddDuration(command, "--deadline", options.deadline,
              "longest wait for one answer, retries included, for example 500ms or 2m");
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Open(const ServerOptions& options) {
  auto channel = Connect({.address = options.address});
  const absl::Status status =
      WaitUntilReachable(*channel, options.address, std::min(options.deadline, kConnectTimeout));
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat(status.message(), " Give it with --server or PROAD_SERVER."));
  }
  return channel;
}

bool IsUnreachable(const absl::Status& status) {
  return absl::IsUnavailable(status) && DetailsOf(status).reason.empty();
}

int Fail(const absl::Status& status) {
  std::cerr << "proad: " << Describe(status) << "\n";
  return IsUnreachable(status) ? kUnreachable : kSomeFailed;
}

}  // namespace proad::client
