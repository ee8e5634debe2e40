// TLS for gRPC's port, with certificates that can be replaced while it serves.
#pragma once

#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "server/rpc/tls_identity.h"
#include "server/util/mutex.h"

namespace proad::server {

// TLS 1.2 and 1.3. gRPC asks for the certificates at every handshake: connections that stand go on
// with what they have, new ones get what Replace was given last.
//
// Thread-safety: Replace may come from any thread. Must outlive the grpc::Server it is used for;
// one port.
class TlsCredentials final : public grpc::ServerCredentials {
 public:
  // `identity` is one that TlsIdentity::Read made. With a client_ca in it, clients are asked for
  // certificates, then and in every later identity; `require`: those without one are refused.
  TlsCredentials(TlsIdentity identity, bool require);

  void Replace(TlsIdentity identity);

  // gRPC's hook to see the metadata of calls; tokens are checked by Authorizer instead.
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
  bool fetched_ ABSL_GUARDED_BY(mutex_) = false;  // gRPC has it
};

}  // namespace proad::server
