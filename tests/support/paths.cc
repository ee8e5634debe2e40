#include "tests/support/paths.h"

namespace proad::testing {

std::filesystem::path SourceFolder() { return PROAD_SOURCE_DIR; }
std::filesystem::path BuildFolder() { return PROAD_BINARY_DIR; }

}  // namespace proad::testing
