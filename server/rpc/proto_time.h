// Converts times to protobuf messages. Pure functions: safe to call from any thread.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace proad::server {

// Rounds to nanoseconds. A negative duration, which appears when the wall clock is set back,
// becomes 0: readers do not accept it.
google::protobuf::Duration ToProtoDuration(absl::Duration duration);

google::protobuf::Timestamp ToProtoTimestamp(absl::Time time);

}  // namespace proad::server
