#include "server/version.h"

namespace proad::server {

const char* Version() { return PROAD_VERSION; }

const char* Compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace proad::server
