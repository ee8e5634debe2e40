// Load for a server: calls made at a pace, and what became of each.
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
  std::vector<proad::v1::DetectRequest> requests;  // one after the other, over and over; not empty
  // Calls a second, whether or not those before are answered (open loop); 0: each client makes its
  // next call when the one before is answered (closed loop).
  double rate = 0;
  bool poisson = true;  // of an open loop: calls come at random, not evenly
  int clients = 1;      // of a closed loop: calls in flight
  bool stream = false;  // frames of DetectStream calls, one a client, instead of calls of their own
  absl::Duration warmup = absl::Seconds(1);  // answered and not counted
  absl::Duration duration = absl::Seconds(10);
  absl::Duration deadline = absl::Seconds(10);  // of a call; frames of a stream have none
  uint64_t seed = 1;                            // of the random times
};

// One image that was sent.
struct LoadSample {
  absl::Time due;          // when the plan wanted it sent
  absl::Duration latency;  // from `due` to its answer, so waiting for one's turn counts too
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string reason;   // of an error, see client/error.h
  std::string version;  // that inspected
};

struct LoadResult {
  std::vector<LoadSample> samples;  // due after the warm-up, in the order of their answers
  // From the end of the warm-up until nothing more was due, and the good answers that came in it.
  // What came after says nothing of the rate: fewer and fewer were in flight.
  absl::Duration measured;
  int64_t answered = 0;
};

struct LoadProgress {
  absl::Duration elapsed;
  int64_t answered = 0;
  int64_t failed = 0;
};

// Follows the plan on the channels, in turns; blocks. Every image that is sent is in the result,
// with an error where no answer came. `observe` is called now and then until it says to stop.
LoadResult RunLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& observe);

}  // namespace proad::client
