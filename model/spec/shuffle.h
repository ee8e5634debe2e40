// Random choices that are equal on every machine and need no state.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace proad::model {

// A seed for one purpose, its stream. Neighbouring streams give unrelated seeds.
uint64_t DeriveSeed(uint64_t seed, uint64_t stream);

// The stream of fresh weights. Training steps use the streams from 0 on.
inline constexpr uint64_t kInitialWeightsStream = UINT64_MAX / 2;

// The numbers 0 .. count - 1 in an order that only the arguments determine.
std::vector<int64_t> Shuffled(int64_t count, uint64_t seed, uint64_t stream);

}  // namespace proad::model
