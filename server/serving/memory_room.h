// How much memory there is for versions on a device.
//
// Thread-safety: pure functions of what the system says.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace proad::server {

// Bytes, in one place.
struct MemoryRoom {
  uint64_t allocated = 0;  // in use by this process
  uint64_t reserved = 0;   // that it holds, what it has freed and keeps among it
  uint64_t free = 0;       // that nobody holds

  // What can still be taken.
  uint64_t available() const { return free + reserved - std::min(allocated, reserved); }
};

using MeasureMemory = std::function<MemoryRoom()>;

// A place where versions take memory.
struct MemoryPlace {
  std::string device;  // "cpu" or "cuda:N"
  MeasureMemory measure;
};

// Of the machine, or of the control group (version 2) where that allows less. `free` counts caches
// that the system would drop.
MemoryRoom HostMemory();

// The same for other places than /proc and /sys below "/"; what this process holds is its own.
MemoryRoom HostMemoryAt(const std::filesystem::path& root);

}  // namespace proad::server
