// The certificates of the server and the tokens of its clients: files, read at the start and again
// when they are replaced.
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

// A thread checks the files. It reads replaced files when two checks in a row find them unchanged,
// so a key and its certificate may be written one after the other. When the new files are invalid,
// or the new certificate has expired, it logs and counts the error and keeps the old ones.
//
// Thread-safety: one thread constructs, uses and destroys the object.
class Credentials {
 public:
  struct Options {
    TlsFiles tls;
    std::filesystem::path tokens;             // empty: clients need no tokens
    absl::Duration pause = absl::Seconds(1);  // between checks
  };

  // Reads the files once. NOT_FOUND or INVALID_ARGUMENT; the message has the key and the path.
  static absl::Status Check(const Options& options);

  // Reads the files, passes the tokens to `authorizer`, and starts the checks. Errors as of Check.
  // `authorizer` and `metrics` must outlive the object.
  static absl::StatusOr<std::unique_ptr<Credentials>> Load(const Options& options,
                                                           Authorizer& authorizer,
                                                           Metrics& metrics);
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // The credentials of the gRPC port. This object must outlive the server.
  const std::shared_ptr<grpc::ServerCredentials>& server() const { return server_; }

 private:
  Credentials(const Options& options, Authorizer& authorizer, Metrics& metrics);

  absl::Status ReadFirst();
  void ReloadReplaced();  // reads the files that were replaced since the last call
  void ReloadTls();
  void ReloadTokens();
  void ShowExpiry(const TlsIdentity& identity);

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
