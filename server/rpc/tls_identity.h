// The certificates that the server presents and accepts.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/util/tls_files.h"

namespace proad::server {

// A value. All texts are PEM.
struct TlsIdentity {
  std::string certificates;
  std::string key;
  std::string client_ca;                                 // "": none
  absl::Time expiry;                                     // earliest end of `certificates`
  absl::Time client_ca_expiry = absl::InfiniteFuture();  // earliest end of `client_ca`

  // Reads the files, and checks that key and certificate belong together. NOT_FOUND for a file that
  // cannot be read; INVALID_ARGUMENT for a file without PEM, an encrypted key or the key of another
  // certificate. The message names the path and contains nothing of a key. A certificate that has
  // expired or is not valid yet is not an error.
  static absl::StatusOr<TlsIdentity> Read(const TlsFiles& files);
};

}  // namespace proad::server
