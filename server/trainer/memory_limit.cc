#include "server/trainer/memory_limit.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace proad::server {
namespace {

// A trainer with many threads touches a few GB of new memory per second at most. So between two
// looks it grows by much less than the memory that the server keeps free beside the limit.
constexpr absl::Duration kInterval = absl::Milliseconds(10);

}  // namespace

MemoryLimit::MemoryLimit(int64_t bytes, std::function<void(int64_t used)> on_exceeded)
    : thread_([this, bytes, on_exceeded = std::move(on_exceeded)] { Watch(bytes, on_exceeded); }) {}

MemoryLimit::~MemoryLimit() {
  stopping_ = true;
  thread_.join();
}

void MemoryLimit::Watch(int64_t bytes, const std::function<void(int64_t used)>& on_exceeded) {
  // Kept open: with all descriptors in use the limit still holds.
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const int64_t page_size = sysconf(_SC_PAGESIZE);
  for (; fd >= 0 && !stopping_; absl::SleepFor(kInterval)) {
    char text[128];
    const ssize_t size = pread(fd, text, sizeof text, 0);
    const int64_t used = AnonymousBytes(
        absl::string_view(text, static_cast<size_t>(std::max<ssize_t>(size, 0))), page_size);
    if (used <= bytes) continue;
    on_exceeded(used);
    break;
  }
  if (fd >= 0) close(fd);
}

int64_t AnonymousBytes(absl::string_view statm, int64_t page_size) {
  // size, resident and shared, in pages; see proc(5).
  const std::vector<absl::string_view> fields = absl::StrSplit(statm, ' ');
  int64_t resident = 0, shared = 0;
  if (fields.size() < 3 || !absl::SimpleAtoi(fields[1], &resident) ||
      !absl::SimpleAtoi(fields[2], &shared)) {
    return 0;
  }
  return std::max<int64_t>(resident - shared, 0) * page_size;
}

std::string MemoryLimitError(int64_t used, int64_t limit) {
  constexpr int64_t kMiB = 1 << 20;
  return absl::StrCat(
      "the training process used ", used / kMiB, " MiB of memory; its limit is ", limit / kMiB,
      " MiB. Use a smaller batch_size or input_side, less training.feature_memory, or "
      "more memory (training.memory_limit, or the limit of the container)");
}

}  // namespace proad::server
