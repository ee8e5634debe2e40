// Converts Ctrl-C to a stop request, for commands that print a message before they exit.
#pragma once

#include <stop_token>
#include <thread>

namespace proad::client {

// During its lifetime, the first SIGINT or SIGTERM requests a stop, and a second one ends the process.
// Ignored signals stay ignored. A process can have one instance at a time.
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
