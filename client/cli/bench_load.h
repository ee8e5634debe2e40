// Generates load for `proad bench`: makes calls according to a plan and records each result.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

struct LoadPlan {
  std::vector<proad::v1::DetectRequest> requests;  // sent in turn, repeatedly; not empty
  // Open loop: calls per second, independent of earlier answers. 0: closed loop, in which each client
  // makes its next call after the previous answer.
  double rate = 0;
  bool poisson = true;  // open loop: random intervals instead of equal ones
  int clients = 1;      // closed loop: calls in flight
  bool stream = false;  // DetectStream, with one stream per client, instead of Detect
  absl::Duration warmup = absl::Seconds(1);  // load before the measurement
  absl::Duration duration = absl::Seconds(10);
  absl::Duration deadline = absl::Seconds(10);  // of one Detect call; streams have none
  uint64_t seed = 1;                            // of the random intervals
};

// One sent image.
struct LoadSample {
  absl::Time due;          // time at which the plan required it to be sent
  absl::Duration latency;  // from `due` to the answer, so a delay before sending counts
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string reason;   // reason of the error, see client/error.h; empty without an error
  std::string version;  // version that inspected the image; empty with an error
};

struct LoadResult {
  std::vector<LoadSample> samples;  // due after the warm-up, in the order of their answers
  // Time from the end of the warm-up to the last due image, and the detections received in it. Later
  // answers do not count for the rate, because fewer calls were in flight.
  absl::Duration measured;
  int64_t answered = 0;
};

struct LoadProgress {
  absl::Duration elapsed;
  int64_t answered = 0;
  int64_t failed = 0;
};

// Executes the plan, with the calls distributed over the channels. Blocks. The result includes every
// sent image; an image without answer has an error. Calls `observe` every 200 ms; the load stops when
// it returns false.
LoadResult RunLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& observe);

}  // namespace proad::client
