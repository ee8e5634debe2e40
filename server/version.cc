#include "server/version.h"

namespace proad {

// The programs bring their own, which is made at every build. This one is for tests, so that none
// of them is linked anew for every commit.
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
