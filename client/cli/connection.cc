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
constexpr absl::Duration kErrorTimeout = absl::Seconds(1);

void AddSecurityOptions(CLI::App& command, SecurityOptions& options) {
  constexpr char kGroup[] = "TLS and tokens";
  command.add_flag("--tls", options.tls, "use TLS and trust the CAs of this machine")
      ->group(kGroup);
  const auto add = [&](const char* flag, std::string& value, const char* variable, const char* type,
                       const char* description) {
    command.add_option(flag, value, description)->envname(variable)->type_name(type)->group(kGroup);
  };
  add("--tls-ca", options.ca, "PROAD_TLS_CA", "FILE",
      "use TLS and trust the CAs in this file (PEM)");
  add("--tls-cert", options.certificate, "PROAD_TLS_CERT", "FILE",
      "client certificate, for servers that require one (PEM)");
  add("--tls-key", options.key, "PROAD_TLS_KEY", "FILE",
      "private key of the client certificate (PEM)");
  add("--tls-server-name", options.server_name, "PROAD_TLS_SERVER_NAME", "NAME",
      "name that the server's certificate must have (default: the name in the address)");
  add("--token-file", options.token_file, "PROAD_TOKEN_FILE", "FILE",
      "file with the token to send ('proad token new' creates one)");
}

// Returns the cause of a failed connection as gRPC reports it, for example a refused connection or
// an invalid certificate. Empty when unknown.
std::string ConnectionError(const std::shared_ptr<grpc::Channel>& channel) {
  const absl::StatusOr<Health> health = CheckHealth(channel, "", kErrorTimeout);
  if (health.ok() || !absl::IsUnavailable(health.status())) return "";
  return absl::StrCat(" Last attempt: ", health.status().message(), ".");
}

}  // namespace

void AddServerOptions(CLI::App& command, ServerOptions& options) {
  command
      .add_option("--server", options.address,
                  "address of the server, host:port; of several servers that share the calls: "
                  "host:port,host:port, or dns:///name:port for all addresses of a name")
      ->envname("PROAD_SERVER")
      ->type_name("ADDRESS")
      ->capture_default_str()
      ->check([](const std::string& address) -> std::string {
        // The parser takes any word after --server as its value, even another option.
        const bool option = address.empty() || address[0] == '-';
        const bool dns = absl::StartsWith(address, "dns:///");
        if (!option && (dns || !absl::StrContains(address, "://"))) return "";
        return absl::StrCat("'", address,
                            "' is not an address: give host:port without http://, for example "
                            "localhost:50051");
      });
  AddDuration(command, "--deadline", options.deadline,
              "longest time for one answer, including retries, for example 500ms or 2m");
  AddSecurityOptions(command, options.security);
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Open(const ServerOptions& options) {
  ChannelOptions to{.address = options.address};
  if (absl::Status status = Secure(options.security, to); !status.ok()) return status;
  auto channel = Connect(to);
  const absl::Status status =
      WaitUntilReachable(*channel, options.address, std::min(options.deadline, kConnectTimeout));
  if (!status.ok()) {
    return absl::UnavailableError(absl::StrCat(status.message(),
                                               " Set the address with --server or PROAD_SERVER.",
                                               ConnectionError(channel)));
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
