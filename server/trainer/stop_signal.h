// Lets a signal ask a long command to save its state and exit.
#pragma once

namespace proad::server {

// From now on SIGTERM, and with `interrupt` also SIGINT, makes StopRequested true instead of ending
// the process. Call it once, before the work begins.
void StopOnSignal(bool interrupt);

// Whether such a signal came. Safe to call from any thread.
bool StopRequested();

}  // namespace proad::server
