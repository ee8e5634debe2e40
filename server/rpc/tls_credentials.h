// TLS credentials for the gRPC port whose certificates can be replaced while the server runs.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "server/rpc/tls_identity.h"
#include "server/util/mutex.h"

namespace proad::server {

// TLS 1.2 and 1.3. gRPC asks for the certificates at every handshake: open connections keep theirs,
// new connections get those of the last Replace.
//
// Thread-safety: Replace may be called from any thread. For one port; must outlive the
// grpc::Server.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  // `identity` comes from TlsIdentity::Read. When it has a client_ca, clients are asked for a
  // certificate, and every later identity must have one too. `require`: refuses clients without a
  // certificate.
  TlsCredentials(TlsIdentity identity, bool require);

  void Replace(TlsIdentity identity);

  // Not supported: Authorizer checks tokens.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override;

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override;
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config);
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config*& config);

  const grpc_ssl_client_certificate_request_type request_;
  Mutex mutex_;
  TlsIdentity identity_ ABSL_GUARDED_BY(mutex_);
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC has identity_
};

}  // namespace proad::server
