#include "server/serving/memory_room.h"

#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/util/control_group.h"

// Of jemalloc; null when it is not linked.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* set, size_t set_size)
    __attribute__((weak));

namespace proad::server {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The number after `key` at the start of a line, in the unit of the file.
std::optional<uint64_t> ValueOf(const std::string& text, absl::string_view key) {
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t value = 0;
    if (words.size() >= 2 && words[0] == key && absl::SimpleAtoi(words[1], &value)) return value;
  }
  return std::nullopt;
}

uint64_t AllocatorStatistic(const char* name) {
  size_t value = 0, size = sizeof(value);
  return mallctl(name, &value, &size, nullptr, 0) == 0 ? value : 0;
}

uint64_t ResidentBytes() {
  const std::string text = ReadAll("/proc/self/statm");
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  uint64_t pages = 0;
  if (words.size() < 2 || !absl::SimpleAtoi(words[1], &pages)) return 0;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

MemoryRoom HostMemory() { return HostMemoryAt("/"); }

MemoryRoom HostMemoryAt(const fs::path& root) {
  MemoryRoom room;
  // Without figures from the system no load is refused.
  room.free = std::numeric_limits<uint64_t>::max() / 2;
  if (const auto machine = ValueOf(ReadAll(root / "proc/meminfo"), "MemAvailable:")) {
    room.free = *machine * 1024;
  }
  if (const auto left = MemoryLeft(root)) room.free = std::min(room.free, *left);
  if (mallctl != nullptr) {
    uint64_t epoch = 1;
    mallctl("epoch", nullptr, nullptr, &epoch, sizeof(epoch));  // updates the statistics
    room.allocated = AllocatorStatistic("stats.allocated");
    room.reserved = AllocatorStatistic("stats.resident");
  } else {
    room.allocated = room.reserved = ResidentBytes();
  }
  return room;
}

}  // namespace proad::server
