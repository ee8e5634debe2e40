// Where the processes that train one network meet: rank 0 listens, the others come to it.
//
// No LibTorch header is included here, so that who starts processes need not see it. What they do
// together once they have met is process_group.h's. One thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

namespace proad::model {

// Another process is gone, or did not answer in time. None of them can go on without it: each ends,
// and all are started again from the last checkpoint.
class PeerLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One process among those that train together.
struct Membership {
  int rank = 0;  // from 0
  int size = 1;
  int local_rank = 0;                 // among those of its machine: the number of its GPU
  std::string address = "127.0.0.1";  // rank 0's
  int port = 0;                       // rank 0's; 0, for rank 0 at 127.0.0.1 alone: any free one
  double patience_seconds = 600;      // for another process, before it counts as lost
};

class Rendezvous {
 public:
  // Rank 0 listens from now on: at 127.0.0.1 alone where that is the address, otherwise at all
  // addresses of its machine. The others wait for it. Throws PeerLost when it does not appear, and
  // InvalidInput (field "world_size", DISTRIBUTED_UNSUPPORTED) in a build without Gloo's headers.
  explicit Rendezvous(const Membership& membership);
  ~Rendezvous();
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  // As given, with the port that rank 0 listens on.
  const Membership& membership() const;

  // Rank 0: says that everything is done and nobody is needed any more.
  void AnnounceEnd();
  // The others: waits for that, for as long as rank 0 lives. Throws PeerLost when it does not.
  void AwaitEnd();

  // For ProcessGroup.
  struct Store;
  const Store& store() const { return *store_; }

 private:
  const std::unique_ptr<Store> store_;
};

}  // namespace proad::model
