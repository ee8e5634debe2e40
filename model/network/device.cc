#include "model/network/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <charconv>

#if PROAD_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

#include "model/files/error.h"

namespace proad::model {
namespace {

#if PROAD_WITH_CUDA
std::string CudaVersion() {
  return std::to_string(CUDA_VERSION / 1000) + "." + std::to_string(CUDA_VERSION % 1000 / 10);
}

std::vector<Gpu> UsableGpus() {
  std::vector<Gpu> gpus;
  const int count = at::hasCUDA() ? at::cuda::device_count() : 0;
  for (int i = 0; i < count; ++i) {
    const cudaDeviceProp& properties =
        *at::cuda::getDeviceProperties(static_cast<c10::DeviceIndex>(i));
    gpus.push_back(
        {.name = properties.name,
         .memory = static_cast<int64_t>(properties.totalGlobalMem),
         .capability = std::to_string(properties.major) + "." + std::to_string(properties.minor)});
  }
  return gpus;
}
#else
std::string CudaVersion() { return ""; }
std::vector<Gpu> UsableGpus() { return {}; }
#endif

}  // namespace

Runtime DescribeRuntime() {
  return {.libtorch = TORCH_VERSION,
          .cuda = CudaVersion(),
          .gpus = UsableGpus(),
          .cpu_capability = at::get_cpu_capability(),
          .mkl = at::hasMKL(),
          .onednn = at::hasMKLDNN(),
          .threads = at::get_num_threads()};
}

void SetThreads(int threads) { at::set_num_threads(threads); }

std::string ResolveDevice(std::string_view device) {
  const size_t gpus = UsableGpus().size();
  if (device == "cpu") return "cpu";
  if (device == "auto") return gpus > 0 ? "cuda:0" : "cpu";
  if (device == "cuda" && gpus > 0) return "cuda:0";
  if (device.starts_with("cuda:")) {
    const std::string_view digits = device.substr(5);
    size_t index = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (error == std::errc() && end == digits.data() + digits.size() && index < gpus) {
      return std::string(device);
    }
  }
  const std::string there = gpus == 0   ? "cpu"
                            : gpus == 1 ? "cpu and cuda:0"
                                        : "cpu and cuda:0 to cuda:" + std::to_string(gpus - 1);
  throw InvalidInput("device", "DEVICE_UNKNOWN",
                     "device '" + std::string(device) + "' does not exist here; there is " + there +
                         (CudaVersion().empty() ? " (this build has no CUDA)" : ""));
}

}  // namespace proad::model
