#include "server/rpc/proto_time.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>

namespace proad::server {

using google::protobuf::util::TimeUtil;

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  return TimeUtil::NanosecondsToDuration(
      absl::ToInt64Nanoseconds(std::max(duration, absl::ZeroDuration())));
}

google::protobuf::Timestamp ToProtoTimestamp(absl::Time time) {
  return TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

}  // namespace proad::server
