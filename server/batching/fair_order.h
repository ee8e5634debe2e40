// The order in which waiting images are served: fair between flows, and urgent images earlier.
//
// A flow is the images of one category for one model version. Flows are served in turn, image by
// image, however many images each has waiting; within a flow the nearest deadline is first. This is
// start-time fair queueing: image n of a flow gets the virtual time (tag) n after the flow's last
// one, and the smallest tag is served first. The rank of an image is its tag, less kHeadStart while
// its deadline is near, so a flow gets ahead of another by at most kHeadStart images. Not
// thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace proad::server {

class FairOrder {
 public:
  static constexpr int64_t kHeadStart = 8;
  // Flows without waiting images whose tags are remembered. Clients choose the names of flows, so
  // their number needs a bound; beyond it the flow that is ahead by the least is forgotten.
  static constexpr size_t kMaxIdleFlows = 1024;

  struct Waiting {
    size_t flow = 0;
    absl::Time enqueued;
    absl::Time deadline = absl::InfiniteFuture();
  };

  // The position of a waiting image.
  struct Position {
    size_t index = 0;  // into `waiting`
    int64_t tag = 0;   // virtual time of its flow
    int64_t rank = 0;  // the smallest is served first, also across several calls of Order
  };

  // Adds one waiting image to `flow`.
  void Add(size_t flow);

  // All waiting images, first to last. Deadlines before `urgent_before` are near.
  std::vector<Position> Order(absl::Span<const Waiting> waiting, absl::Time urgent_before) const;

  // Removes one image of `flow` that is served from `position`.
  void Serve(size_t flow, const Position& position);

  // Removes one image of `flow` that is not served.
  void Remove(size_t flow);

  // Flows that are remembered: those with waiting images and at most kMaxIdleFlows others.
  size_t flows() const { return flows_.size(); }

 private:
  struct Flow {
    int64_t last_tag = 0;  // of the last image that was served
    int64_t waiting = 0;   // images
  };

  int64_t now_ = 0;  // virtual time: the highest rank served, and the first tag of a new flow
  std::unordered_map<size_t, Flow> flows_;
  std::set<std::pair<int64_t, size_t>> idle_;  // {last_tag, flow} of flows without waiting images
};

}  // namespace proad::server
