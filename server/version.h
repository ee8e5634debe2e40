// What this program is.
//
// Thread-safety: pure functions; what they return lives as long as the process.
#pragma once

#include <string>

namespace proad {

// Commit that the program was built from, "-dirty" behind it when files differed; "" when it was
// not built from a checkout, and in tests.
const char* Commit();

}  // namespace proad

namespace proad::server {

// "MAJOR.MINOR.PATCH".
const char* Version();

// Name and version of the compiler that built it.
const char* Compiler();

// Versions of LibTorch and CUDA that it was built with; "" without them.
const char* LibTorchVersion();
const char* CudaVersion();

// All of the above in one line that begins with `program`, for --version.
std::string VersionText(const std::string& program);

}  // namespace proad::server
