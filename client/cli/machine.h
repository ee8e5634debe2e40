// What this machine is made of, as far as inference cares. Reads /proc and /sys; never fails: what
// cannot be found out is empty or 0.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace proad::client {

struct Machine {
  std::string cpu;        // model name
  int cores = 0;          // that this process may use: affinity
  double core_quota = 0;  // of the control group, in cores; 0 = none
  std::set<std::string>
      simd;  // of "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16"
  uint64_t memory_bytes = 0;  // of the machine
  uint64_t available_bytes = 0;
  uint64_t memory_limit_bytes = 0;  // of the control group; 0 = none
  std::vector<std::string> gpus;    // model names of NVIDIA GPUs with a loaded driver
  std::string gpu_driver;           // its version, "" without one
};

// `root` stands for "/".
Machine InspectMachine(const std::string& root = "/");

}  // namespace proad::client
