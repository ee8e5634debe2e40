#include "server/version.h"

namespace proad::server {

const char kVersion[] = PROAD_VERSION;

#ifdef __clang__
const char kCompiler[] = "clang " __clang_version__;
#else
const char kCompiler[] = "gcc " __VERSION__;
#endif

}  // namespace proad::server
