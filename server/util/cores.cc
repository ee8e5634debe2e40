#include "server/util/cores.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "server/util/control_group.h"

namespace proad::server {

int UsableCores() {
  return UsableCoresAt("/", static_cast<int>(std::thread::hardware_concurrency()));
}

int DefaultWorkers(absl::string_view device, int cores) {
  return device == "cpu" ? std::min(cores, 16) : 1;
}

int UsableCoresAt(const std::filesystem::path& root, int bound) {
  if (const std::optional<double> limit = CpuLimit(root)) {
    bound = std::min(bound, static_cast<int>(std::ceil(std::min(*limit, 1e6))));
  }
  return std::max(bound, 1);
}

}  // namespace proad::server
