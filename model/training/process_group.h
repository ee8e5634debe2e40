// What the processes that train one network compute together (model/README.md, "several
// processes"): LibTorch's c10d, by Gloo for tensors on the CPU and NCCL for those on a GPU.
//
// All processes of a group call the same operations in the same order. A group of one needs nobody:
// it gives back what it was given, to the last bit. Every operation throws PeerLost (rendezvous.h)
// when another process is gone or does not answer in time; the group is of no use after that.
//
// One thread.
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
  // Waits until all are there. `rendezvous`, null for this process alone, outlives the group.
  // Throws PeerLost, and InvalidInput (field "device", DISTRIBUTED_UNSUPPORTED) where tensors are
  // to be on a GPU and the build has no NCCL. From then on this process ignores SIGPIPE.
  ProcessGroup(const Rendezvous* rendezvous, const torch::Device& device);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int rank() const;
  int size() const;

  // The mean over all processes, on each of them the same bits. Of floating point, without gradient
  // where there are others.
  torch::Tensor Mean(const torch::Tensor& tensor) const;

  // Replaces each tensor by its mean over all processes. As Mean, for many and large ones: they
  // travel together.
  void Average(const std::vector<torch::Tensor>& tensors) const;

  // Replaces each tensor by rank 0's, which has it in the same shape and type.
  void TakeFromFirst(const std::vector<torch::Tensor>& tensors) const;

  // Whether `text` is rank 0's.
  bool AgreesWithFirst(const std::string& text) const;

  // Whether any process says so.
  bool Any(bool mine) const;

  // Returns when all have called it.
  void Wait() const;

 private:
  struct Backends;
  const std::unique_ptr<Backends> backends_;  // null: this process alone
};

}  // namespace proad::model
