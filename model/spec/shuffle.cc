#include "model/spec/shuffle.h"

#include <cstddef>
#include <numeric>
#include <random>
#include <utility>

namespace proad::model {
namespace {

// SplitMix64's step: neighbouring inputs give unrelated outputs.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t DeriveSeed(uint64_t seed, uint64_t stream) { return Mix(seed ^ Mix(stream)); }

std::vector<int64_t> Shuffled(int64_t count, uint64_t seed, uint64_t stream) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::mt19937_64 random(DeriveSeed(seed, stream));
  // Fisher-Yates; std::shuffle differs between standard libraries.
  for (size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[static_cast<size_t>(random() % left)]);
  }
  return order;
}

}  // namespace proad::model
