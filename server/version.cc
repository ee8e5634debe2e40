#include "server/version.h"

namespace proad {

// The programs link a definition that is generated at every build. Tests link this one, so that a
// commit does not relink them.
__attribute__((weak)) const char* Commit() { return ""; }

namespace server {

const char* Version() { return PROAD_VERSION; }

const char* Compiler() {
#ifdef __clang__
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

const char* LibTorchVersion() { return PROAD_LIBTORCH_VERSION; }

const char* CudaVersion() { return PROAD_CUDA_VERSION; }

std::string VersionText(const std::string& program) {
  std::string text = program + " " + Version() + " (";
  if (*Commit() != '\0') text += std::string("commit ") + Commit() + ", ";
  text += Compiler();
  if (*LibTorchVersion() != '\0') {
    text += std::string(", LibTorch ") + LibTorchVersion() + ", ";
    text += *CudaVersion() == '\0' ? "no CUDA" : std::string("CUDA ") + CudaVersion();
  }
  return text + ")";
}

}  // namespace server
}  // namespace proad
