#include "server/jobs/train_job.h"

#include <array>
#include <cstddef>

namespace proad::server {
namespace {

constexpr size_t kStates = 5;

// kMoves[from][to], in the order of JobState.
constexpr std::array<std::array<bool, kStates>, kStates> kMoves = {{
    // QUEUED RUNNING SUCCEEDED FAILED CANCELLED
    {false, true, false, true, true},     // QUEUED
    {true, false, true, true, true},      // RUNNING
    {false, false, false, false, false},  // SUCCEEDED
    {true, false, false, false, false},   // FAILED
    {true, false, false, false, false},   // CANCELLED
}};

}  // namespace

const char* NameOf(JobState state) {
  switch (state) {
    case JobState::kQueued:
      return "QUEUED";
    case JobState::kRunning:
      return "RUNNING";
    case JobState::kSucceeded:
      return "SUCCEEDED";
    case JobState::kFailed:
      return "FAILED";
    case JobState::kCancelled:
      return "CANCELLED";
  }
  return "UNKNOWN";
}

bool HasEnded(JobState state) { return state != JobState::kQueued && state != JobState::kRunning; }

bool CanMove(JobState from, JobState to) {
  return kMoves[static_cast<size_t>(from)][static_cast<size_t>(to)];
}

}  // namespace proad::server
