// The memory that is available for versions on a device.
//
// Thread-safety: all functions may be called from any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace proad::server {

// Bytes of one place.
struct MemoryRoom {
  uint64_t allocated = 0;  // in use by this process
  uint64_t reserved = 0;   // held by this process: allocated, or freed and kept by its allocator
  uint64_t free = 0;       // not held by any process

  // Bytes that this process can still allocate.
  uint64_t available() const { return free + reserved - std::min(allocated, reserved); }
};

using MeasureMemory = std::function<MemoryRoom()>;

// A place where versions are allocated.
struct MemoryPlace {
  std::string device;  // "cpu" or "cuda:N"
  MeasureMemory measure;
};

// The memory of the machine, or of a control group of this process (util/control_group.h) when its
// limit leaves less. `free` includes file caches that the kernel would drop.
MemoryRoom HostMemory();

// The same with /proc and /sys below `root`, for tests. `allocated` and `reserved` are always those
// of this process.
MemoryRoom HostMemoryAt(const std::filesystem::path& root);

}  // namespace proad::server
