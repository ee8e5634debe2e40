// The certificates that a server shows and accepts, checked before anybody sees them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/util/tls_files.h"

namespace proad::server {

// A value: what was read and found to belong together.
struct TlsIdentity {
  std::string certificates;
  std::string key;
  std::string client_ca;                                 // "": none
  absl::Time expiry;                                     // of the first of `certificates` to end
  absl::Time client_ca_expiry = absl::InfiniteFuture();  // of the first of `client_ca` to end

  // Reads and compares. NOT_FOUND for a file that cannot be read, INVALID_ARGUMENT for one that is
  // not what it should be: no PEM, an encrypted key, the key of another certificate. Names the
  // path, and nothing of a key. A certificate that has ended or has not begun is no error here.
  static absl::StatusOr<TlsIdentity> Read(const TlsFiles& files);
};

}  // namespace proad::server
