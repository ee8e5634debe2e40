#include "server/trainer/stop_signal.h"

#include <signal.h>

#include <atomic>

namespace proad::server {
namespace {

std::atomic<bool> g_stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

}  // namespace

void StopOnSignal(bool interrupt) {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_stop_requested = true; };
  sigaction(SIGTERM, &action, nullptr);
  if (interrupt) sigaction(SIGINT, &action, nullptr);
}

bool StopRequested() { return g_stop_requested; }

}  // namespace proad::server
