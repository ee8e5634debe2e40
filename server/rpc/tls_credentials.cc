#include "server/rpc/tls_credentials.h"

#include <grpc/grpc.h>

#include <cstdlib>
#include <utility>

namespace proad::server {
namespace {

grpc_ssl_client_certificate_request_type RequestOf(const TlsIdentity& identity, bool require) {
  if (identity.client_ca.empty()) return GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  return require ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                 : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
}

}  // namespace

TlsCredentials::TlsCredentials(TlsIdentity identity, bool require)
    : request_(RequestOf(identity, require)), identity_(std::move(identity)) {}

void TlsCredentials::Replace(TlsIdentity identity) {
  MutexLock lock(mutex_);
  identity_ = std::move(identity);
  fetched_ = false;
}

void TlsCredentials::SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) {
  std::abort();  // the server sets no processor
}

int TlsCredentials::AddPortToServer(const std::string& address, grpc_server* server) {
  grpc_server_credentials* const credentials = grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(request_, Fetch, this));
  const int port = grpc_server_add_http2_port(server, address.c_str(), credentials);
  grpc_server_credentials_release(credentials);
  return port;
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    void* self, grpc_ssl_server_certificate_config** config) {
  return static_cast<TlsCredentials*>(self)->Fetch(*config);
}

grpc_ssl_certificate_config_reload_status TlsCredentials::Fetch(
    grpc_ssl_server_certificate_config*& config) {
  MutexLock lock(mutex_);
  if (std::exchange(fetched_, true)) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  const grpc_ssl_pem_key_cert_pair pair = {identity_.key.c_str(), identity_.certificates.c_str()};
  // gRPC requires certificates of a CA here even when it asks no client for a certificate.
  const std::string& ca =
      identity_.client_ca.empty() ? identity_.certificates : identity_.client_ca;
  config = grpc_ssl_server_certificate_config_create(ca.c_str(), &pair, 1);
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

}  // namespace proad::server
