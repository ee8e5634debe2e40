// Asking a program that works for long to save its state and end.
#pragma once

namespace proad::server {

// From now on SIGTERM, and SIGINT where `interrupt`, only asks; call once, before the work begins.
void StopOnSignal(bool interrupt);

// Whether it was asked. Safe to call from any thread.
bool StopRequested();

}  // namespace proad::server
