// Ctrl-C as a request to stop, for commands that have something to say before they end.
#pragma once

#include <stop_token>
#include <thread>

namespace proad::client {

// While it lives, the first SIGINT or SIGTERM requests a stop; a second one ends the process as
// usual. Signals that are ignored stay so. One at a time in a process.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();

  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }
  bool requested() const { return source_.stop_requested(); }

 private:
  std::stop_source source_;
  std::thread listener_;
};

}  // namespace proad::client
