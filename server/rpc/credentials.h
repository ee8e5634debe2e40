// What the server proves itself with, and what it asks of its callers: files, read at start and
// again whenever they are replaced.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/rpc/auth.h"
#include "server/rpc/tls_credentials.h"
#include "server/rpc/tls_identity.h"
#include "server/telemetry/metrics.h"
#include "server/util/file_watch.h"
#include "server/util/periodic_task.h"

namespace proad::server {

// A replacement is taken when two looks have found the files the same, so that a key and its
// certificate may be written one after the other. One that is wrong is logged and counted, and the
// one before stays; so does it when a new certificate has ended already.
//
// Thread-safety: made, asked and destroyed by one thread; a thread of its own looks at the files.
class Credentials {
 public:
  struct Options {
    TlsFiles tls;
    std::filesystem::path tokens;             // empty: no tokens are asked for
    absl::Duration pause = absl::Seconds(1);  // between looks
  };

  // What `options` name, read once. NOT_FOUND or INVALID_ARGUMENT, with key and path.
  static absl::Status Check(const Options& options);

  // Reads, gives the tokens to `authorizer`, and begins to look. Errors as of Check. What it is
  // given must outlive it.
  static absl::StatusOr<std::unique_ptr<Credentials>> Load(const Options& options,
                                                           Authorizer& authorizer,
                                                           Metrics& metrics);
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // For the port. This object must outlive the server.
  const std::shared_ptr<grpc::ServerCredentials>& server() const { return server_; }

 private:
  Credentials(const Options& options, Authorizer& authorizer, Metrics& metrics);

  absl::Status ReadFirst();
  void ReloadReplaced();  // what was replaced since the last call
  void ReloadTls();
  void ReloadTokens();
  void TellExpiry(const TlsIdentity& identity);

  const Options options_;
  Authorizer& authorizer_;
  Metrics& metrics_;
  FileWatch tls_watch_;
  FileWatch token_watch_;
  std::shared_ptr<TlsCredentials> tls_;  // null: plain text
  std::shared_ptr<grpc::ServerCredentials> server_;
  PeriodicTask reload_;  // last: it uses the other members
};

}  // namespace proad::server
