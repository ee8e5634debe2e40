// Who goes first among those who wait: near deadlines, without anyone paying for it for long.
//
// A flow is what shares a fate: the images of one category for one model version. Flows take turns,
// image by image, however many of its images each has waiting; within a flow the nearest deadline
// goes first. An image whose deadline is near goes up to kHeadStart turns before its own, so no
// flow falls behind another by more than that. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace proad::server {

class FairOrder {
 public:
  static constexpr int64_t kHeadStart = 8;

  struct Waiting {
    size_t flow = 0;
    absl::Time enqueued;
    absl::Time deadline = absl::InfiniteFuture();
  };

  // Where one of those who wait stands.
  struct Place {
    size_t index = 0;  // into `waiting`
    int64_t turn = 0;  // of its flow's turns
    int64_t rank = 0;  // smaller goes first, also among those who wait elsewhere
  };

  // One of `flow` waits from now on.
  void Came(size_t flow);

  // All who wait, first to last. A deadline before `urgent_before` is near.
  std::vector<Place> Order(absl::Span<const Waiting> waiting, absl::Time urgent_before) const;

  // One of `flow` went, from the place that Order gave it.
  void Went(size_t flow, const Place& place);

  // One of `flow` waits no more, and did not go.
  void Left(size_t flow);

 private:
  // Forgotten when nobody of it waits and it has no turns ahead of the others.
  struct Flow {
    int64_t last_turn = 0;  // that is gone
    int64_t waiting = 0;
  };

  int64_t now_ = 0;  // the highest rank that went: where a flow begins that comes anew
  std::unordered_map<size_t, Flow> flows_;
};

}  // namespace proad::server
