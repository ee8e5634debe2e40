// What this program is.
#pragma once

namespace proad::server {

// "MAJOR.MINOR.PATCH".
extern const char kVersion[];

// Name and version of the compiler that built it.
extern const char kCompiler[];

}  // namespace proad::server
