// The connection between the processes that train one network: rank 0 listens, the others connect.
//
// process_group.h has the operations on tensors. This header includes no LibTorch header, so that
// the server can include it. Thread-safety: belongs to one thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

namespace proad::model {

// Another process has ended or did not answer in time. No process can continue without it: all end,
// and are started again from the last checkpoint.
class PeerLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One of the processes that train together.
struct Membership {
  int rank = 0;  // from 0
  int size = 1;
  int local_rank = 0;                 // number on its machine, and of its GPU
  std::string address = "127.0.0.1";  // of rank 0
  int port = 0;                       // of rank 0; 0 (only for rank 0 at 127.0.0.1): any free port
  double patience_seconds = 600;      // limit of a wait for another process
};

class Rendezvous {
 public:
  // Rank 0 begins to listen: at 127.0.0.1 if that is the address, otherwise at all addresses of its
  // machine. The others connect and wait for it. Throws PeerLost if it does not appear in time, and
  // InvalidInput (field "world_size", DISTRIBUTED_UNSUPPORTED) in a build without Gloo's headers.
  explicit Rendezvous(const Membership& membership);
  ~Rendezvous();
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  // The membership of the constructor, with the port that rank 0 listens on.
  const Membership& membership() const;

  // Rank 0 tells the others that the training has ended.
  void AnnounceEnd();
  // The others wait for AnnounceEnd, without limit while rank 0 lives. Throws PeerLost if it ends.
  void AwaitEnd();

  // For ProcessGroup.
  struct Store;
  const Store& store() const { return *store_; }

 private:
  const std::unique_ptr<Store> store_;
};

}  // namespace proad::model
