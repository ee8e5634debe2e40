#include "client/cli/machine.h"

#include <sched.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

std::string ReadText(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The value of the first line "KEY : value".
std::string ValueOf(const std::string& text, const std::string& key) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 1));
    if (parts.size() == 2 && absl::StripAsciiWhitespace(parts[0]) == key) {
      return std::string(absl::StripAsciiWhitespace(parts[1]));
    }
  }
  return "";
}

// Converts a value such as "16266740 kB" to bytes.
uint64_t KibibytesOf(const std::string& text, const std::string& key) {
  const std::vector<std::string> words = absl::StrSplit(ValueOf(text, key), ' ');
  uint64_t value = 0;
  return absl::SimpleAtoi(words[0], &value) ? value * 1024 : 0;
}

void ReadProcessor(const std::string& text, Machine& machine) {
  machine.cpu = ValueOf(text, "model name");
  const std::vector<std::string> flags = absl::StrSplit(ValueOf(text, "flags"), ' ');
  for (const std::string& flag : flags) {
    if (flag == "avx2" || flag == "avx512f" || flag == "avx512_bf16" || flag == "avx512_vnni" ||
        flag == "amx_tile" || flag == "amx_bf16") {
      machine.simd.insert(flag);
    }
  }
}

// Reads the limits of control group version 2 at the path that a container sees.
void ReadLimits(const fs::path& root, Machine& machine) {
  const std::vector<std::string> cpu =
      absl::StrSplit(absl::StripAsciiWhitespace(ReadText(root / "sys/fs/cgroup/cpu.max")), ' ');
  double quota = 0, period = 0;
  if (cpu.size() == 2 && absl::SimpleAtod(cpu[0], &quota) && absl::SimpleAtod(cpu[1], &period) &&
      period > 0) {
    machine.core_quota = quota / period;
  }
  const std::string memory(absl::StripAsciiWhitespace(ReadText(root / "sys/fs/cgroup/memory.max")));
  if (!absl::SimpleAtoi(memory, &machine.memory_limit_bytes)) machine.memory_limit_bytes = 0;
}

void ReadGpus(const fs::path& driver, Machine& machine) {
  std::error_code error;
  for (const auto& gpu : fs::directory_iterator(driver / "gpus", error)) {
    machine.gpus.push_back(ValueOf(ReadText(gpu.path() / "information"), "Model"));
  }
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul ..."
  std::istringstream words(ValueOf(ReadText(driver / "version"), "NVRM version"));
  for (std::string word; words >> word;) {
    if (absl::ascii_isdigit(static_cast<unsigned char>(word[0])) && absl::StrContains(word, '.')) {
      machine.gpu_driver = word;
      break;
    }
  }
}

}  // namespace

Machine InspectMachine(const std::string& root) {
  Machine machine;
  const fs::path base(root);
  ReadProcessor(ReadText(base / "proc/cpuinfo"), machine);
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) machine.cores = CPU_COUNT(&allowed);
  const std::string memory = ReadText(base / "proc/meminfo");
  machine.memory_bytes = KibibytesOf(memory, "MemTotal");
  machine.available_bytes = KibibytesOf(memory, "MemAvailable");
  ReadLimits(base, machine);
  ReadGpus(base / "proc/driver/nvidia", machine);
  return machine;
}

}  // namespace proad::client
