// Random choices that are the same on every machine and need no state: functions of a seed and of
// what they are for.
//
// No LibTorch. Pure functions; safe to call from any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace proad::model {

// A seed for one purpose out of many; neighbouring streams give unrelated seeds.
uint64_t DeriveSeed(uint64_t seed, uint64_t stream);

// The stream that the fresh weights of whatever trains come from; its steps have those from 0 on.
inline constexpr uint64_t kInitialWeightsStream = UINT64_MAX / 2;

// Numbers 0 .. count - 1 in an order that depends on the arguments alone.
std::vector<int64_t> Shuffled(int64_t count, uint64_t seed, uint64_t stream);

}  // namespace proad::model
