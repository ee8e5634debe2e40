// Estimates the time from the admission of an image to its answer, from the number of images in
// flight before it.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace proad::server {

// A linear regression with exponentially decaying weights: a batch takes some time however few
// images it has (intercept), and each image ahead adds to it (slope). The mean absolute deviation
// from the line gives the margin of an estimate. The margin is at least a third of the estimate,
// since the speed of a machine varies, and at most the whole estimate, since a short standstill
// passes.
//
// Not thread-safe.
class SojournEstimate {
 public:
  // An image that was admitted with `ahead` images in flight was answered after `took`.
  void Answered(int64_t ahead, absl::Duration took);

  // An image was dropped after `waited` without an answer; it would have taken longer.
  void GivenUp(int64_t ahead, absl::Duration waited);

  // The estimate and its margin for an image that comes now; nullopt before the first answer.
  std::optional<absl::Duration> AtMost(int64_t ahead) const;

 private:
  double Expected(double ahead) const;

  // Exponentially weighted; times in seconds.
  int64_t count_ = 0;
  double mean_ahead_ = 0;
  double mean_took_ = 0;
  double variance_ = 0;    // of the images ahead
  double covariance_ = 0;  // of the images ahead and the time
  double deviation_ = 0;   // mean absolute deviation from the line
};

}  // namespace proad::server
