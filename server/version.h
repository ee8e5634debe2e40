// The version of this program.
//
// Pure functions: safe to call from any thread. Returned pointers stay valid.
#pragma once

#include <string>

namespace proad {

// The commit that the program was built from, with "-dirty" appended when files differed; "" in
// tests and when it was not built from a checkout.
const char* Commit();

}  // namespace proad

namespace proad::server {

// "MAJOR.MINOR.PATCH".
const char* Version();

// Name and version of the compiler.
const char* Compiler();

// Versions of LibTorch and CUDA of the build; "" without them.
const char* LibTorchVersion();
const char* CudaVersion();

// All of the above in one line that begins with `program`, for --version.
std::string VersionText(const std::string& program);

}  // namespace proad::server
