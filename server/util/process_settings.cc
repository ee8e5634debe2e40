#include "server/util/process_settings.h"

#include <stdlib.h>
#include <unistd.h>

// Read by jemalloc, where it is linked: keep what was freed. A base network's activations are
// blocks of 10 MB; by default jemalloc gives such blocks back to the system at every use, and gets
// them, page by page, at the next, which costs a tenth of the time. The price is that the process
// stays as large as it once was.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "oversize_threshold:0,dirty_decay_ms:-1,muzzy_decay_ms:-1";
}

namespace proad::server {

void WaitWithoutSpinning(char** argv) {
  if (getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (setenv("OMP_WAIT_POLICY", "passive", /*replace=*/0) != 0) return;
  execv("/proc/self/exe", argv);
}

}  // namespace proad::server
