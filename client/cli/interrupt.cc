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
constexpr char kSignalled = 's';
constexpr char kOver = 'o';

// A signal handler may do next to nothing: it writes a letter to this pipe, and a thread reads it.
std::array<int, 2> pipe_ends;
std::array<struct sigaction, kSignals.size()> before;

void Tell(char letter) {
  const int kept = errno;
  while (write(pipe_ends[1], &letter, 1) < 0 && errno == EINTR) {
  }
  errno = kept;
}

void OnSignal(int) { Tell(kSignalled); }

}  // namespace

Interrupt::Interrupt() {
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  listener_ = std::thread([source = source_]() mutable {
    char letter = 0;
    for (;;) {
      const ssize_t got = read(pipe_ends[0], &letter, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got != 1 || letter == kOver) return;
      source.request_stop();
    }
  });
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before[i]);
    // What a shell or nohup had this process ignore stays ignored.
    if (before[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

Interrupt::~Interrupt() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before[i], nullptr);
  Tell(kOver);
  listener_.join();
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace proad::client
