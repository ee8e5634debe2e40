// Measures elapsed time with the steady clock.
//
// No LibTorch. Thread-safety: belongs to one thread.
#pragma once

#include <chrono>

namespace proad::model {

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void Restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace proad::model
