// Where the certificates of a server lie.
#pragma once

#include <filesystem>

namespace proad::server {

// All of them PEM.
struct TlsFiles {
  std::filesystem::path certificate;  // the server's, then its intermediates; empty: no TLS
  std::filesystem::path key;          // its private key, not encrypted
  std::filesystem::path
      client_ca;  // whom clients' certificates come from; empty: none is asked for
  bool require_client_certificate = true;  // with client_ca; false: one that is shown must be good

  bool enabled() const { return !certificate.empty(); }
};

}  // namespace proad::server
