// The error of a training whose loss or gradient is not finite.
//
// No LibTorch.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace proad::model {

class NonFiniteLoss : public std::runtime_error {
 public:
  // `what`: "loss" or "norm of the gradients". `step`: from 1.
  NonFiniteLoss(int64_t step, double learning_rate, const std::string& what);

  int64_t step() const { return step_; }
  double learning_rate() const { return learning_rate_; }

 private:
  int64_t step_;
  double learning_rate_;
};

}  // namespace proad::model
