#include "server/util/process_settings.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

namespace proad::server {

void RestartWithShortOpenMpSpin(char** argv) {
  if (getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("GOMP_SPINCOUNT", "1000", /*replace=*/0) != 0) return;
  if (setenv("OMP_WAIT_POLICY", "active", /*replace=*/0) != 0) return;
  execv("/proc/self/exe", argv);
}

void RaiseOpenFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace proad::server
