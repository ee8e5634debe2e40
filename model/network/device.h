// What this build of LibTorch can compute on, on this machine.
//
// No LibTorch header is included here, so that servers and tools may ask without seeing it.
// Thread-safety: functions of what there is; SetThreads while nothing computes.
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
  std::string libtorch;   // version
  std::string cuda;       // version that it was built against; "" for a CPU build
  std::vector<Gpu> gpus;  // that it can use now, in the order of cuda:0, cuda:1, ...
  std::string
      cpu_capability;  // widest vector instructions that its kernels use: "AVX2", "AVX512", ...
  bool mkl = false;    // matrix products by MKL
  bool onednn = false;
  int threads = 0;  // within one operation
};

Runtime DescribeRuntime();

// Threads within one operation, of this process from now on.
void SetThreads(int threads);

// Turns "auto", "cpu", "cuda" or "cuda:N" into a device that exists: "cpu" or "cuda:N"; "auto" is
// cuda:0 where there is one. Throws InvalidInput (field "device") saying which devices there are.
std::string ResolveDevice(std::string_view device);

}  // namespace proad::model
