// The limits of the control groups (version 2) that this process is in.
//
// A systemd unit, a container and a Kubernetes pod each are a control group. Groups nest, and the
// limit of every group on the way to the root holds. Thread-safety: pure functions of files; `root`
// is "/" except in tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"

namespace proad::server {

// The path of the version 2 group in the text of /proc/self/cgroup, "/system.slice/a.service"; "/"
// when the text names none.
std::filesystem::path ControlGroupPath(absl::string_view proc_self_cgroup);

// The directories of this process's group and of every group above it, the innermost first. Groups
// that are not visible below ROOT/sys/fs/cgroup are left out, as in a container that sees its own
// group as the root.
std::vector<std::filesystem::path> ControlGroups(const std::filesystem::path& root);

// Cores' worth of time that the groups allow (cpu.max), the smallest of all limits; nullopt without
// a limit.
std::optional<double> CpuLimit(const std::filesystem::path& root);

// Bytes that the groups allow (memory.max), the smallest of all limits; nullopt without a limit.
std::optional<uint64_t> MemoryLimit(const std::filesystem::path& root);

// Bytes that can still be taken before a group reaches its limit, the smallest of all groups. Files
// in the page cache that are not in active use count as free, since the kernel drops them first.
// nullopt without a limit.
std::optional<uint64_t> MemoryLeft(const std::filesystem::path& root);

// Bytes of memory that this process may use: MemoryLimit, or all of the machine's memory where that
// is less or there is no limit. 0 when nothing is known.
uint64_t UsableMemory(const std::filesystem::path& root = "/");

}  // namespace proad::server
