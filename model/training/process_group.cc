#include "model/training/process_group.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <utility>

// LibTorch has Gloo and NCCL inside, and declares them only where these are defined.
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

constexpr int64_t kBucketBytes = int64_t{32} << 20;  // that travel as one

// Where this process meets the others: at home where all are on one machine, at the interface that
// the environment names as PyTorch does, or where this machine's name leads.
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

// Runs what needs the others.
template <typename Call>
auto WithPeers(const Call& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw PeerLost("another process of this training is gone or does not answer: " +
                   what.substr(0, what.find('\n')));
  }
}

// Tensors of one device and type, in runs of kBucketBytes at most, or of one that is larger.
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

torch::Tensor Joined(const std::vector<torch::Tensor>& tensors) {
  std::vector<torch::Tensor> flat;
  for (const torch::Tensor& tensor : tensors) flat.push_back(tensor.reshape(-1));
  return at::cat(flat);
}

void Divide(const torch::Tensor& joined, const std::vector<torch::Tensor>& tensors) {
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

  // Does `start` to all tensors, joined into few.
  void ForEachBucket(const std::vector<torch::Tensor>& tensors, const Start& start,
                     double factor) const {
    const torch::NoGradGuard no_grad;
    std::vector<std::pair<std::vector<at::Tensor>, c10::intrusive_ptr<c10d::Work>>> under_way;
    const auto buckets = Buckets(tensors);
    for (const auto& bucket : buckets) {
      std::vector<at::Tensor> joined = {Joined(bucket)};
      auto work = WithPeers([&] { return start(Of(joined[0]), joined); });
      under_way.emplace_back(std::move(joined), std::move(work));
    }
    for (size_t i = 0; i < buckets.size(); ++i) {
      WithPeers([&] { return under_way[i].second->wait(); });
      torch::Tensor& joined = under_way[i].first[0];
      if (factor != 1) joined.mul_(factor);
      Divide(joined, buckets[i]);
    }
  }

  void AddUp(std::vector<at::Tensor> tensors) const {
    WithPeers([&] { return Of(tensors[0]).allreduce(tensors)->wait(); });
  }
};

namespace {

std::chrono::milliseconds PatienceOf(const Membership& membership) {
  return std::chrono::milliseconds(static_cast<int64_t>(membership.patience_seconds * 1000));
}

c10::intrusive_ptr<c10d::Backend> NewGloo(const Rendezvous& rendezvous) {
  // Gloo writes to a peer that is gone without MSG_NOSIGNAL; that is to be PeerLost, and not the
  // end of this process. Python, which Gloo is used from otherwise, does the same.
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
  // A wait then ends with an error when its time is over, and not with the process.
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
                     "this build has no NCCL: several processes can train on CPUs only");
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
  backends_->AddUp({sum});
  return sum.mul_(1.0 / size());
}

void ProcessGroup::Average(const std::vector<torch::Tensor>& tensors) const {
  if (backends_ == nullptr) return;
  backends_->ForEachBucket(
      tensors, [](c10d::Backend& backend, auto& joined) { return backend.allreduce(joined); },
      1.0 / size());
}

void ProcessGroup::TakeFromFirst(const std::vector<torch::Tensor>& tensors) const {
  if (backends_ == nullptr) return;
  backends_->ForEachBucket(
      tensors, [](c10d::Backend& backend, auto& joined) { return backend.broadcast(joined); }, 1);
}

bool ProcessGroup::AgreesWithFirst(const std::string& text) const {
  if (backends_ == nullptr) return true;
  const std::string mine = Sha256Hex(text);
  const torch::Tensor digest =
      at::from_blob(const_cast<char*>(mine.data()), {static_cast<int64_t>(mine.size())}, at::kByte)
          .clone();
  const torch::Tensor first = digest.clone();
  TakeFromFirst({first});
  return at::equal(digest, first);
}

bool ProcessGroup::Any(bool mine) const {
  if (backends_ == nullptr) return mine;
  const torch::Tensor count = at::full({1}, mine ? 1 : 0, at::kLong);
  backends_->AddUp({count});
  return count.item<int64_t>() > 0;
}

void ProcessGroup::Wait() const { Any(false); }

#else  // without Gloo, no Rendezvous can be made, and every process is alone

struct ProcessGroup::Backends {
  int rank = 0;
  int size = 1;
};

ProcessGroup::ProcessGroup() = default;
ProcessGroup::ProcessGroup(const Rendezvous*, const torch::Device&) {}
torch::Tensor ProcessGroup::Mean(const torch::Tensor& tensor) const { return tensor; }
void ProcessGroup::Average(const std::vector<torch::Tensor>&) const {}
void ProcessGroup::TakeFromFirst(const std::vector<torch::Tensor>&) const {}
bool ProcessGroup::AgreesWithFirst(const std::string&) const { return true; }
bool ProcessGroup::Any(bool mine) const { return mine; }
void ProcessGroup::Wait() const {}

#endif

ProcessGroup::~ProcessGroup() = default;
int ProcessGroup::rank() const { return backends_ == nullptr ? 0 : backends_->rank; }
int ProcessGroup::size() const { return backends_ == nullptr ? 1 : backends_->size; }

}  // namespace proad::model
