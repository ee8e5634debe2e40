// The limit on the size of a request.
//
// gRPC ends a call whose request is larger than the server's server.max_message_bytes; on a stream,
// that is the call of all images. Clients therefore check the size before they send.
#pragma once

#include <cstdint>

#include "absl/status/status.h"

namespace proad::v1 {
class DetectRequest;
}

namespace proad::client {

// The default of server.max_message_bytes.
inline constexpr int64_t kDefaultMaxRequestBytes = int64_t{64} << 20;

// INVALID_ARGUMENT with the reason MESSAGE_TOO_LARGE when the serialized request has more than
// `max_bytes` bytes. Pure: safe to call from any thread.
absl::Status CheckRequestSize(const proad::v1::DetectRequest& request, int64_t max_bytes);

}  // namespace proad::client
