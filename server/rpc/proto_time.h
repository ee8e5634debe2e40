// Times as messages carry them. Safe to call from any thread.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace proad::server {

// To the nanosecond. A negative one, as a wall clock that was set back makes it, is none: no reader
// accepts it.
google::protobuf::Duration ToProtoDuration(absl::Duration duration);

google::protobuf::Timestamp ToProtoTimestamp(absl::Time time);

}  // namespace proad::server
