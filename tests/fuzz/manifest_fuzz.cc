// Text as a manifest: an error, or a manifest that is written and read back to an equal one.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/files/error.h"
#include "model/spec/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proad::model;
  Manifest manifest;
  try {
    manifest = ParseManifest(std::string(reinterpret_cast<const char*>(data), size), "input");
  } catch (const CorruptFile&) {
    return 0;
  }
  Manifest back = ParseManifest(ToJson(manifest), "written");
  back.hash = manifest.hash;
  if (back != manifest) std::abort();
  return 0;
}
