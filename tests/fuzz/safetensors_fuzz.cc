// Bytes as a safetensors file: an error, or tensors that lie within the bytes and are as large as
// they say.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "model/files/error.h"
#include "model/files/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proad::model;
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    for (const auto& [name, view] : ParseSafetensors(bytes, "input").tensors) {
      size_t expected = SizeOf(view.dtype);
      for (const int64_t extent : view.shape) expected *= static_cast<size_t>(extent);
      if (view.data.size() != expected) std::abort();
      if (view.data.data() < bytes.data()) std::abort();
      if (view.data.data() + expected > bytes.data() + size) std::abort();
    }
  } catch (const CorruptFile&) {
  }
  return 0;
}
