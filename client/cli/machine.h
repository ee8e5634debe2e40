// Hardware of this machine, as `proad doctor` reports it. Reads /proc and /sys. Never fails: unknown
// values are empty or 0.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace proad::client {

struct Machine {
  std::string cpu;        // model name
  int cores = 0;          // number of cores that this process may use (its CPU affinity)
  double core_quota = 0;  // CPU limit of the control group, in cores; 0: none
  // Subset of "avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16".
  std::set<std::string> simd;
  uint64_t memory_bytes = 0;  // of the machine
  uint64_t available_bytes = 0;
  uint64_t memory_limit_bytes = 0;  // of the control group; 0: none
  std::vector<std::string> gpus;    // model names of NVIDIA GPUs with a loaded driver
  std::string gpu_driver;           // version of the NVIDIA driver; empty without one
};

// Reads below `root` instead of "/", for tests.
Machine InspectMachine(const std::string& root = "/");

}  // namespace proad::client
