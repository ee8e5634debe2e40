// What this program is.
#pragma once

namespace proad::server {

// "MAJOR.MINOR.PATCH".
const char* Version();

// Name and version of the compiler that built it.
const char* Compiler();

}  // namespace proad::server
