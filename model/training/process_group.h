// Collective operations of the processes that train one network (model/README.md, "several
// processes"): LibTorch's c10d, with Gloo for tensors on the CPU and NCCL for tensors on a GPU.
//
// All processes of a group call the same operations in the same order. In a group of one every
// operation returns its input unchanged. Every operation throws PeerLost (rendezvous.h) if another
// process has ended or does not answer in time; the group cannot be used after that.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "model/training/rendezvous.h"

namespace proad::model {

class ProcessGroup {
 public:
  // This process alone.
  ProcessGroup();
  // Waits for all processes. `rendezvous` must outlive the group; null: this process alone. Throws
  // PeerLost, and InvalidInput (field "device", DISTRIBUTED_UNSUPPORTED) for a GPU in a build
  // without NCCL. With several processes, the process ignores SIGPIPE from then on.
  ProcessGroup(const Rendezvous* rendezvous, const torch::Device& device);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const;
  int size() const;

  // The mean over all processes, equal to the bit on each. tensor: floating point. With several
  // processes the result has no gradient.
  torch::Tensor Mean(const torch::Tensor& tensor) const;

  // Replaces each tensor by its mean over all processes. For many tensors: it joins them to few
  // messages.
  void Average(const std::vector<torch::Tensor>& tensors) const;

  // Replaces each tensor by that of rank 0, which has the same shape and type.
  void Broadcast(const std::vector<torch::Tensor>& tensors) const;

  // Whether `text` equals that of rank 0.
  bool EqualsFirst(const std::string& text) const;

  // Whether `mine` is true in any process.
  bool Any(bool mine) const;

  // Returns when all processes have called it.
  void Wait() const;

 private:
  struct Backends;
  const std::unique_ptr<Backends> backends_;  // null: this process alone
};

}  // namespace proad::model
