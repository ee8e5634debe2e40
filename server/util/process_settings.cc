#include "server/util/process_settings.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

// Read by jemalloc, where it is linked: keep what was freed for half a minute. A base network's
// activations are blocks of 10 MB; by default jemalloc gives such blocks back to the system at
// every use, and gets them, page by page, at the next, which costs a tenth of the time. What a
// burst left behind is given back, by a thread of jemalloc's, as the threads that freed it may have
// nothing to do any more.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf =
    "background_thread:true,oversize_threshold:0,dirty_decay_ms:30000,muzzy_decay_ms:0";
}

namespace proad::server {

void WaitWithoutSpinning(char** argv) {
  if (getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("OMP_WAIT_POLICY", "passive", /*replace=*/0) != 0) return;
  execv("/proc/self/exe", argv);
}

void AllowAllOpenFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace proad::server
