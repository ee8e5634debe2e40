#include "server/util/control_group.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// "max 100000", or the microseconds of CPU time in each period: "150000 100000".
std::optional<double> CpuLimitOf(const fs::path& group) {
  const std::string text = ReadAll(group / "cpu.max");
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ');
  double time = 0, period = 0;
  if (words.size() != 2 || !absl::SimpleAtod(words[0], &time) ||
      !absl::SimpleAtod(words[1], &period) || time <= 0 || period <= 0) {
    return std::nullopt;
  }
  return time / period;
}

// "max", or bytes.
std::optional<uint64_t> MemoryLimitOf(const fs::path& group) {
  uint64_t limit = 0;
  if (!absl::SimpleAtoi(ReadAll(group / "memory.max"), &limit)) return std::nullopt;
  return limit;
}

// The number after "inactive_file" in memory.stat; 0 when it is not there.
uint64_t InactiveFileBytes(const fs::path& group) {
  const std::string text = ReadAll(group / "memory.stat");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t bytes = 0;
    if (absl::ConsumePrefix(&line, "inactive_file ") && absl::SimpleAtoi(line, &bytes)) {
      return bytes;
    }
  }
  return 0;
}

std::optional<uint64_t> MemoryLeftOf(const fs::path& group) {
  const std::optional<uint64_t> limit = MemoryLimitOf(group);
  uint64_t held = 0;
  if (!limit || !absl::SimpleAtoi(ReadAll(group / "memory.current"), &held)) return std::nullopt;
  held -= std::min(held, InactiveFileBytes(group));
  return *limit - std::min(*limit, held);
}

// The smallest value of all groups that have one.
template <typename Value>
std::optional<Value> SmallestOf(const fs::path& root,
                                std::optional<Value> (*value)(const fs::path&)) {
  std::optional<Value> smallest;
  for (const fs::path& group : ControlGroups(root)) {
    const std::optional<Value> here = value(group);
    if (here && (!smallest || *here < *smallest)) smallest = here;
  }
  return smallest;
}

}  // namespace

fs::path ControlGroupPath(absl::string_view proc_self_cgroup) {
  // A line is HIERARCHY:CONTROLLERS:PATH; version 2 is hierarchy 0 and names no controllers.
  for (absl::string_view line : absl::StrSplit(proc_self_cgroup, '\n')) {
    if (absl::ConsumePrefix(&line, "0::")) {
      const fs::path path = fs::path(std::string(line)).lexically_normal();
      return path.is_absolute() ? path : fs::path("/");
    }
  }
  return "/";
}

std::vector<fs::path> ControlGroups(const fs::path& root) {
  const fs::path mount = root / "sys/fs/cgroup";
  fs::path relative = ControlGroupPath(ReadAll(root / "proc/self/cgroup")).relative_path();
  std::vector<fs::path> groups;
  while (!relative.empty()) {
    std::error_code ignored;
    if (fs::is_directory(mount / relative, ignored)) groups.push_back(mount / relative);
    relative = relative.parent_path();
  }
  groups.push_back(mount);
  return groups;
}

std::optional<double> CpuLimit(const fs::path& root) {
  return SmallestOf<double>(root, CpuLimitOf);
}

std::optional<uint64_t> MemoryLimit(const fs::path& root) {
  return SmallestOf<uint64_t>(root, MemoryLimitOf);
}

std::optional<uint64_t> MemoryLeft(const fs::path& root) {
  return SmallestOf<uint64_t>(root, MemoryLeftOf);
}

uint64_t UsableMemory(const fs::path& root) {
  uint64_t bytes = 0;
  const std::string text = ReadAll(root / "proc/meminfo");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t kib = 0;
    if (absl::ConsumePrefix(&line, "MemTotal:") && absl::ConsumeSuffix(&line, " kB") &&
        absl::SimpleAtoi(line, &kib)) {
      bytes = kib * 1024;
    }
  }
  const std::optional<uint64_t> limit = MemoryLimit(root);
  if (!limit) return bytes;
  return bytes == 0 ? *limit : std::min(bytes, *limit);
}

}  // namespace proad::server
