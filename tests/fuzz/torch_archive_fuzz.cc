// Bytes as a PyTorch archive: an error, or tensors that are as large as they say and can be read to
// the last byte.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "model/files/error.h"
#include "model/files/torch_archive.h"
#include "model/files/zip_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proad::model;
  try {
    const TensorFile file = ParseTorchArchive(std::as_bytes(std::span(data, size)), "input");
    for (const auto& [name, view] : file.tensors) {
      size_t expected = SizeOf(view.dtype);
      for (const int64_t extent : view.shape) expected *= static_cast<size_t>(extent);
      if (view.data.size() != expected) std::abort();
      Crc32(view.data);  // reads every byte
    }
  } catch (const CorruptFile&) {
  }
  return 0;
}
