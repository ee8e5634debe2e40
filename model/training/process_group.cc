#include "model/training/process_group.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <utility>

// LibTorch contains Gloo and NCCL and declares them only if these macros are defined.
#if PROAD_WITH_GLOO
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if PROAD_WITH_NCCL
#ifndef USE_C10D_NCCL
#define USE_C10D_NCCL
#endif
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/training/rendezvous_store.h"

namespace proad::model {

#if PROAD_WITH_GLOO

namespace {

constexpr int64_t kBucketBytes = int64_t{32} << 20;  // of one message

// The network device for the other processes: loopback if all are on one machine, the interface
// that GLOO_SOCKET_IFNAME names (as in PyTorch), or that of this machine's name.
std::shared_ptr<gloo::transport::Device> DeviceFor(const Membership& membership) {
  if (membership.address == "127.0.0.1") {
    return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
  }
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  if (interface != nullptr && *interface != '\0') {
    return c10d::ProcessGroupGloo::createDeviceForInterface(interface);
  }
  return c10d::ProcessGroupGloo::createDefaultDevice();
}

// Calls `call`, and throws PeerLost for any exception.
template <typename Call>
auto WithPeers(const Call& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw PeerLost("another process of this training has ended or does not answer: " +
                   what.substr(0, what.find('\n')));
  }
}

// Consecutive tensors of one device and type, up to kBucketBytes; a larger tensor has its own
// bucket.
std::vector<std::vector<torch::Tensor>> Buckets(const std::vector<torch::Tensor>& tensors) {
  std::vector<std::vector<torch::Tensor>> buckets;
  int64_t bytes = 0;
  for (const torch::Tensor& tensor : tensors) {
    const auto size = static_cast<int64_t>(tensor.nbytes());
    const bool fits = !buckets.empty() && bytes + size <= kBucketBytes &&
                      buckets.back()[0].options().type_equal(tensor.options());
    if (!fits) {
      buckets.emplace_back();
      bytes = 0;
    }
    buckets.back().push_back(tensor.detach());
    bytes += size;
  }
  return buckets;
}

torch::Tensor Flatten(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : tensors) flat.push_back(tensor.reshape(-1));
  return at::cat(flat);
}

void CopyParts(const torch::Tensor& joined, const std::vector<torch::Tensor>& tensors) {
  int64_t first = 0;
  for (torch::Tensor tensor : tensors) {
    tensor.copy_(joined.narrow(0, first, tensor.numel()).view(tensor.sizes()));
    first += tensor.numel();
  }
}

}  // namespace

struct ProcessGroup::Backends {
  int rank = 0;
  int size = 1;
  c10::intrusive_ptr<c10d::Backend> cpu;
  c10::intrusive_ptr<c10d::Backend> gpu;  // null without one

  c10d::Backend& Of(const torch::Tensor& tensor) const { return tensor.is_cpu() ? *cpu : *gpu; }

  using Start = std::function<c10::intrusive_ptr<c10d::Work>(c10d::Backend&,
                                                             std::vector<at::Tensor>& tensors)>;

  // Calls `start` for each bucket of tensors, waits, and copies the results times `factor` back.
  void ForEachBucket(const std::vector<torch::Tensor>& tensors, const Start& start,
                     double factor) const {
    const torch::NoGradGuard no_grad;
    std::vector<std::pair<std::vector<at::Tensor>, c10::intrusive_ptr<c10d::Work>>> pending;
    const auto buckets = Buckets(tensors);
    for (const auto& bucket : buckets) {
      std::vector<at::Tensor> joined = {Flatten(bucket)};
      auto work = WithPeers([&] { return start(Of(joined[0]), joined); });
      pending.emplace_back(std::move(joined), std::move(work));
    }
    for (size_t i = 0; i < buckets.size(); ++i) {
      WithPeers([&] { return pending[i].second->wait(); });
      torch::Tensor& joined = pending[i].first[0];
      if (factor != 1) joined.mul_(factor);
      CopyParts(joined, buckets[i]);
    }
  }

  void AllReduce(std::vector<at::Tensor> tensors) const {
    WithPeers([&] { return Of(tensors[0]).allreduce(tensors)->wait(); });
  }
};

namespace {

std::chrono::milliseconds PatienceOf(const Membership& membership) {
  return std::chrono::milliseconds(static_cast<int64_t>(membership.patience_seconds * 1000));
}

c10::intrusive_ptr<c10d::Backend> NewGloo(const Rendezvous& rendezvous) {
  // Gloo writes to sockets without MSG_NOSIGNAL. If a peer has ended, the write must fail
  // (PeerLost) and not end this process. Python ignores SIGPIPE too.
  std::signal(SIGPIPE, SIG_IGN);
  const Membership& membership = rendezvous.membership();
  auto options = c10d::ProcessGroupGloo::Options::create(PatienceOf(membership));
  options->devices = {DeviceFor(membership)};
  return c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<c10d::PrefixStore>("gloo", rendezvous.store().store), membership.rank,
      membership.size, options);
}

#if PROAD_WITH_NCCL
c10::intrusive_ptr<c10d::Backend> NewNccl(const Rendezvous& rendezvous) {
  const Membership& membership = rendezvous.membership();
  // A wait that exceeds its limit then throws instead of ending the process.
  setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*replace=*/0);
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = PatienceOf(membership);
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::make_intrusive<c10d::PrefixStore>("nccl", rendezvous.store().store), membership.rank,
      membership.size, options);
}
#else
c10::intrusive_ptr<c10d::Backend> NewNccl(const Rendezvous&) {
  throw InvalidInput("device", "DISTRIBUTED_UNSUPPORTED",
                     "this build has no NCCL; several processes can train on CPUs only");
}
#endif

}  // namespace

ProcessGroup::ProcessGroup() = default;

ProcessGroup::ProcessGroup(const Rendezvous* rendezvous, const torch::Device& device)
    : backends_(rendezvous == nullptr ? nullptr : std::make_unique<Backends>()) {
  if (backends_ == nullptr) return;
  backends_->rank = rendezvous->membership().rank;
  backends_->size = rendezvous->membership().size;
  backends_->cpu = WithPeers([&] { return NewGloo(*rendezvous); });
  if (device.is_cuda()) backends_->gpu = NewNccl(*rendezvous);
  Wait();
}

torch::Tensor ProcessGroup::Mean(const torch::Tensor& tensor) const {
  if (backends_ == nullptr) return tensor;
  const torch::NoGradGuard no_grad;
  const torch::Tensor sum = tensor.detach().clone(at::MemoryFormat::Contiguous);
  backends_->AllReduce({sum});
  return sum.mul_(1.0 / size());
}

void ProcessGroup::Average(const std::vector<torch::Tensor>& tensors) const {
  if (backends_ == nullptr) return;
  backends_->ForEachBucket(
      tensors, [](c10d::Backend& backend, auto& joined) { return backend.allreduce(joined); },
      1.0 / size());
}

void ProcessGroup::Broadcast(const std::vector<torch::Tensor>& tensors) const {
  if (backends_ == nullptr) return;
  backends_->ForEachBucket(
      tensors, [](c10d::Backend& backend, auto& joined) { return backend.broadcast(joined); }, 1);
}

bool ProcessGroup::EqualsFirst(const std::string& text) const {
  if (backends_ == nullptr) return true;
  const std::string mine = Sha256Hex(text);
  const torch::Tensor digest =
      at::from_blob(const_cast<char*>(mine.data()), {static_cast<int64_t>(mine.size())}, at::kByte)
          .clone();
  const torch::Tensor first = digest.clone();
  Broadcast({first});
  return at::equal(digest, first);
}

bool ProcessGroup::Any(bool mine) const {
  if (backends_ == nullptr) return mine;
  const torch::Tensor count = at::full({1}, mine ? 1 : 0, at::kLong);
  backends_->AllReduce({count});
  return count.item<int64_t>() > 0;
}

void ProcessGroup::Wait() const { Any(false); }

#else  // without Gloo, Rendezvous throws, so every process is alone

struct ProcessGroup::Backends {
  int rank = 0;
  int size = 1;
};

ProcessGroup::ProcessGroup() = default;
ProcessGroup::ProcessGroup(const Rendezvous*, const torch::Device&) {}
torch::Tensor ProcessGroup::Mean(const torch::Tensor& tensor) const { return tensor; }
void ProcessGroup::Average(const std::vector<torch::Tensor>&) const {}
void ProcessGroup::Broadcast(const std::vector<torch::Tensor>&) const {}
bool ProcessGroup::EqualsFirst(const std::string&) const { return true; }
bool ProcessGroup::Any(bool mine) const { return mine; }
void ProcessGroup::Wait() const {}

#endif

ProcessGroup::~ProcessGroup() = default;
int ProcessGroup::rank() const { return backends_ == nullptr ? 0 : backends_->rank; }
int ProcessGroup::size() const { return backends_ == nullptr ? 1 : backends_->size; }

}  // namespace proad::model
