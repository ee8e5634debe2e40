// The devices and the libraries that LibTorch can use on this machine.
//
// This header includes no LibTorch header, so servers and tools can include it. Thread-safety: safe
// to call from any thread; SetThreads only while no thread computes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace proad::model {

struct Gpu {
  std::string name;
  int64_t memory = 0;      // bytes
  std::string capability;  // compute capability, for example "9.0"
};

struct Runtime {
  std::string libtorch;        // version
  std::string cuda;            // version of the build; "" for a CPU build
  std::vector<Gpu> gpus;       // usable now, in the order of cuda:0, cuda:1, ...
  std::string cpu_capability;  // widest vector instructions of its kernels: "AVX2", "AVX512", ...
  bool mkl = false;            // has MKL for matrix products
  bool onednn = false;         // has oneDNN
  int threads = 0;             // of one operation
};

Runtime DescribeRuntime();

// Sets the number of threads of one operation, for this process.
void SetThreads(int threads);

// The existing device, "cpu" or "cuda:N", that "auto", "cpu", "cuda" or "cuda:N" means. "auto" is
// cuda:0 if there is a GPU. Throws InvalidInput (field "device") that lists the existing devices.
std::string ResolveDevice(std::string_view device);

}  // namespace proad::model
