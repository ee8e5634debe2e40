#include "model/training/rendezvous.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include "model/files/error.h"
#include "model/training/rendezvous_store.h"

namespace proad::model {
namespace {

constexpr char kLoopback[] = "127.0.0.1";
constexpr char kEnd[] = "end";
constexpr std::chrono::milliseconds kPoll{100};  // of AwaitEnd

// A listening socket at loopback alone; c10d's own socket listens at every address.
int ListenAtLoopback(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, kLoopback, &address.sin_addr);
  const int yes = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, SOMAXCONN) != 0) {
    throw std::system_error(errno, std::generic_category(),
                            "cannot listen for the other processes of this training");
  }
  return fd;
}

int PortOf(int fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

std::unique_ptr<Rendezvous::Store> Connect(Membership membership) {
#if !PROAD_WITH_GLOO
  throw InvalidInput("world_size", "DISTRIBUTED_UNSUPPORTED",
                     "this build trains in one process only; build with Gloo's headers (Debian's "
                     "libgloo-dev) for more");
#endif
  c10d::TCPStoreOptions options;
  options.isServer = membership.rank == 0;
  options.waitWorkers = false;
  options.timeout =
      std::chrono::milliseconds(static_cast<int64_t>(membership.patience_seconds * 1000));
  if (options.isServer && membership.address == kLoopback) {
    options.masterListenFd = ListenAtLoopback(membership.port);
    options.useLibUV = false;  // libuv does not accept an existing socket
    membership.port = PortOf(*options.masterListenFd);
  }
  options.port = static_cast<uint16_t>(membership.port);
  try {
    auto store = std::make_unique<Rendezvous::Store>();
    store->store = c10::make_intrusive<c10d::TCPStore>(membership.address, options);
    store->membership = std::move(membership);
    return store;
  } catch (const c10::Error& error) {
    throw PeerLost("the processes of this training cannot connect at " + membership.address + ":" +
                   std::to_string(membership.port) + ": " + error.what_without_backtrace());
  }
}

}  // namespace

Rendezvous::Rendezvous(const Membership& membership) : store_(Connect(membership)) {}
Rendezvous::~Rendezvous() = default;

const Membership& Rendezvous::membership() const { return store_->membership; }

void Rendezvous::AnnounceEnd() { store_->store->set(kEnd, std::vector<uint8_t>{1}); }

void Rendezvous::AwaitEnd() {
  try {
    while (!store_->store->check({kEnd})) std::this_thread::sleep_for(kPoll);
  } catch (const c10::Error& error) {
    throw PeerLost(std::string("rank 0 of this training has ended: ") +
                   error.what_without_backtrace());
  }
}

}  // namespace proad::model
