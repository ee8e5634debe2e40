// How long an image takes from its admission to its answer, by how many are in flight before it.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace proad::server {

// A line through what was seen lately, weighted towards the newest: a batch takes its time however
// few images it has (the start of the line), and each image ahead adds to it (the slope). How far
// answers lie off the line says how much longer an answer may take than the line says: at least a
// third, since a machine's speed comes and goes, and at most as long again, since one that stood
// still for a moment goes on.
//
// Not thread-safe.
class SojournEstimate {
 public:
  // An image that came when `ahead` were in flight was answered after `took`.
  void Answered(int64_t ahead, absl::Duration took);

  // One was given up after `waited` without an answer: it would have taken longer.
  void GivenUp(int64_t ahead, absl::Duration waited);

  // What an image takes now, if it is among the slow ones; nullopt while nothing is known.
  std::optional<absl::Duration> AtMost(int64_t ahead) const;

 private:
  double Expected(double ahead) const;

  // Exponentially weighted; times in seconds.
  int64_t count_ = 0;
  double mean_ahead_ = 0;
  double mean_took_ = 0;
  double variance_ = 0;    // of how many were ahead
  double covariance_ = 0;  // of that and the time
  double deviation_ = 0;   // mean absolute one from the line
};

}  // namespace proad::server
