#include "server/serving/torch_model.h"

#include <ATen/ATen.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/files/error.h"
#include "model/network/anomaly_map.h"
#include "model/network/checkpoint.h"
#include "model/network/device.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/probe.h"
#include "model/network/torch_failure.h"
#include "server/serving/core_share.h"
#include "server/telemetry/log.h"
#include "server/util/cores.h"
#include "server/util/exception_status.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

// Relative difference of the probe's score that is accepted. Other processors and batch sizes
// change the score by far less.
constexpr double kProbeTolerance = 1e-4;

// Translates an exception of LibTorch or model/. Call inside a catch block.
absl::Status StatusOfCurrentTorchException() {
  const model::TorchFailure failure = model::ClassifyTorchException();
  switch (failure.kind) {
    case model::TorchFailureKind::kNone:
      return StatusOfCurrentException();
    case model::TorchFailureKind::kOutOfMemory:
      return MakeError(absl::StatusCode::kResourceExhausted, "the device is out of memory",
                       {.reason = reason::kDeviceOutOfMemory});
    case model::TorchFailureKind::kDeviceLost:
      Log(LogLevel::kError, "device lost", {{"reason", failure.message}});
      return MakeError(absl::StatusCode::kUnavailable, "the device is lost",
                       {.reason = reason::kDeviceLost});
    case model::TorchFailureKind::kFailed:
      return MakeError(absl::StatusCode::kInternal,
                       absl::StrCat("the model failed: ", failure.message),
                       {.reason = reason::kModelFailed});
  }
  return StatusOfCurrentException();
}

// All zero when the device gives no figures.
MemoryRoom AcceleratorMemory(torch::Device device) {
  try {
    const auto stats = at::accelerator::getDeviceStats(device.index());
    constexpr auto kAll = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return {.allocated = static_cast<uint64_t>(stats.allocated_bytes[kAll].current),
            .reserved = static_cast<uint64_t>(stats.reserved_bytes[kAll].current),
            .free = at::accelerator::getMemoryInfo(device.index()).first};
  } catch (...) {
    Log(LogLevel::kError, "device memory cannot be read",
        {{"device", device.str()}, {"reason", StatusOfCurrentTorchException()}});
    return {};
  }
}

// The calling thread's own stream on a GPU, so that workers do not wait for each other's batches,
// and a worker does not wait for the hanging worker that it replaces.
c10::Stream OwnStream(torch::Device device) {
  thread_local std::optional<c10::Stream> stream;
  if (!stream || stream->device() != device) {
    stream = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device);
  }
  return *stream;
}

// Sets the number of LibTorch threads for the calling thread.
void SetThreads(int threads) {
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
}

class TorchModel : public ServableModel {
 public:
  TorchModel(model::Manifest manifest, const model::ProAd& model, std::shared_ptr<CoreShare> cores)
      : manifest_(std::move(manifest)),
        network_(model, manifest_.preprocessing),
        cores_(std::move(cores)) {
    for (const at::Tensor& weight : model->parameters()) memory_bytes_ += weight.nbytes();
  }

  const model::Manifest& manifest() const override { return manifest_; }
  std::optional<double> probe_score() const override { return probe_score_; }
  uint64_t memory_bytes() const override { return memory_bytes_; }
  int map_side() const override { return model::kMapSide; }

  absl::StatusOr<std::vector<Inference>> Infer(absl::Span<const model::PreparedImage* const> images,
                                               absl::Span<const bool> want_map,
                                               int /*worker*/) override {
    const CoreShare::Batch batch(*cores_);
    try {
      SetThreads(batch.threads());
      const c10::InferenceMode inference;
      c10::OptionalStreamGuard on_own_stream;
      if (network_.device().is_cuda()) on_own_stream.reset_stream(OwnStream(network_.device()));
      return ToHost(network_.Detect(Stack(images)), want_map);
    } catch (...) {
      return StatusOfCurrentTorchException();
    }
  }

  // Runs batches so that the first request does not pay for one-time setup.
  void WarmUp(int max_batch) const {
    const c10::InferenceMode inference;
    std::vector<int> sizes = {1};
    // A GPU selects kernels and reserves memory for each batch size; the CPU does not.
    if (network_.device().is_cuda() && max_batch > 1) sizes.push_back(max_batch);
    for (const int size : sizes) {
      const at::Tensor grey = at::full(
          {size, manifest_.preprocessing.crop_height, manifest_.preprocessing.crop_width, 3}, 128,
          at::kByte);
      network_.Detect(grey).scores.cpu();
    }
  }

  // Scores the probe image and compares with the score at publication.
  absl::Status CheckProbe(const fs::path& directory) {
    if (!manifest_.probe) return absl::OkStatus();
    std::ifstream file(directory / manifest_.probe->file, std::ios::binary);
    const std::vector<uint8_t> picture((std::istreambuf_iterator<char>(file)), {});
    const double expected = manifest_.probe->score;
    const double score = model::ProbeScore(network_, manifest_.preprocessing, picture);
    probe_score_ = score;
    if (std::abs(score - expected) <= kProbeTolerance * std::abs(expected)) return absl::OkStatus();
    return MakeError(absl::StatusCode::kFailedPrecondition,
                     absl::StrCat("the version scores its probe ", score, " on ",
                                  network_.device().str(), ", but scored ", expected,
                                  " when it was published; a relative difference of at most ",
                                  kProbeTolerance, " is expected"),
                     {.reason = reason::kProbeMismatch});
  }

 private:
  // Copies the images to the device at once: uint8 [B, H, W, 3].
  at::Tensor Stack(absl::Span<const model::PreparedImage* const> images) const {
    const int64_t height = manifest_.preprocessing.crop_height;
    const int64_t width = manifest_.preprocessing.crop_width;
    const size_t bytes = static_cast<size_t>(height * width * 3);
    at::Tensor pixels =
        at::empty({static_cast<int64_t>(images.size()), height, width, 3},
                  at::TensorOptions(at::kByte).pinned_memory(network_.device().is_cuda()));
    uint8_t* row = pixels.data_ptr<uint8_t>();
    for (const model::PreparedImage* image : images) {
      TORCH_CHECK(image->width == width && image->height == height, "expected images of ", width,
                  "x", height, ", got ", image->width, "x", image->height);
      std::memcpy(row, image->pixels.data(), bytes);
      row += bytes;
    }
    return pixels.to(network_.device(), /*non_blocking=*/true);
  }

  // Copies the scores [B], and the wanted maps [side, side], to the host at once.
  static std::vector<Inference> ToHost(const model::Scored& scored,
                                       absl::Span<const bool> want_map) {
    std::vector<int64_t> wanted;
    for (size_t i = 0; i < want_map.size(); ++i) {
      if (want_map[i]) wanted.push_back(static_cast<int64_t>(i));
    }
    at::Tensor values = scored.scores.flatten();
    if (!wanted.empty()) {
      const at::Tensor indices =
          at::tensor(wanted, at::TensorOptions(at::kLong)).to(values.device());
      values = at::cat({values, scored.maps.index_select(0, indices).flatten()});
    }
    values = values.to(at::kCPU, at::kFloat).contiguous();

    std::vector<Inference> inferences(want_map.size());
    const float* value = values.const_data_ptr<float>();
    for (Inference& inference : inferences) inference.score = *value++;
    constexpr int64_t kMapValues = int64_t{model::kMapSide} * model::kMapSide;
    for (const int64_t i : wanted) {
      inferences[static_cast<size_t>(i)].map.assign(value, value + kMapValues);
      value += kMapValues;
    }
    return inferences;
  }

  const model::Manifest manifest_;
  const model::FrozenProAd network_;
  const std::shared_ptr<CoreShare> cores_;
  uint64_t memory_bytes_ = 0;
  std::optional<double> probe_score_;  // constant once CheckProbe has returned
};

absl::StatusOr<ModelHandle> Load(const fs::path& directory, const std::string& device,
                                 int max_batch, std::shared_ptr<CoreShare> cores) {
  try {
    model::Checkpoint checkpoint = model::LoadCheckpoint(directory);
    const CoreShare::Batch batch(*cores);
    SetThreads(batch.threads());
    checkpoint.model->to(torch::Device(device));
    auto loaded =
        std::make_shared<TorchModel>(std::move(checkpoint.manifest), checkpoint.model, cores);
    loaded->WarmUp(max_batch);
    if (const absl::Status probe = loaded->CheckProbe(directory); !probe.ok()) return probe;
    return loaded;
  } catch (...) {
    return StatusOfCurrentTorchException();
  }
}

}  // namespace

absl::StatusOr<std::string> ResolveTorchDevice(const TorchModelOptions& options) {
  try {
    return model::ResolveDevice(options.device);
  } catch (...) {
    return StatusOfCurrentTorchException();
  }
}

std::vector<MemoryPlace> TorchMemory(const std::string& device) {
  std::vector<MemoryPlace> places = {{"cpu", HostMemory}};
  const torch::Device on(device);
  if (!on.is_cpu()) places.push_back({device, [on] { return AcceleratorMemory(on); }});
  return places;
}

ModelLoader MakeTorchModelLoader(const TorchModelOptions& options, const std::string& device,
                                 int max_batch) {
  const auto cores = std::make_shared<CoreShare>(UsableCores(), options.threads);
  return [device, max_batch, cores](const fs::path& directory) {
    return Load(directory, device, max_batch, cores);
  };
}

}  // namespace proad::server
