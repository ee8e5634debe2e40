#include "client/wait.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"

namespace proad::client {

bool WaitFor(absl::Duration duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, absl::ToChronoMilliseconds(duration), [] { return false; });
  return !stop.stop_requested();
}

std::chrono::system_clock::time_point ToDeadline(absl::Time time) {
  return absl::ToChronoTime(std::min(time, absl::Now() + absl::Hours(24 * 365)));
}

}  // namespace proad::client
