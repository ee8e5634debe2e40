#include "client/cli/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

namespace proad::client {
namespace {

constexpr std::array<int, 2> kSignals = {SIGINT, SIGTERM};
constexpr char kSignal = 's';
constexpr char kQuit = 'q';

// A signal handler may call few functions only. It writes a byte to this pipe, and a thread reads it.
std::array<int, 2> pipe_ends;
std::array<struct sigaction, kSignals.size()> previous_actions;

void WriteByte(char byte) {
  const int saved = errno;  // the interrupted code may use errno
  while (write(pipe_ends[1], &byte, 1) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void OnSignal(int) { WriteByte(kSignal); }

}  // namespace

Interrupt::Interrupt() {
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  listener_ = std::thread([source = source_]() mutable {
    char byte = 0;
    for (;;) {
      const ssize_t got = read(pipe_ends[0], &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got != 1 || byte == kQuit) return;
      source.request_stop();
    }
  });
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &previous_actions[i]);
    // A shell or nohup can start the process with ignored signals: they stay ignored.
    if (previous_actions[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupt::~Interrupt() {
  for (size_t i = 0; i < kSignals.size(); ++i)
    sigaction(kSignals[i], &previous_actions[i], nullptr);
  WriteByte(kQuit);
  listener_.join();
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace proad::client
