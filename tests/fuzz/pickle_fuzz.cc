// Bytes as the pickle of an otherwise good PyTorch archive, whose checksum agrees: what mutations
// of a whole archive hardly ever reach.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "model/files/error.h"
#include "model/files/torch_archive.h"
#include "tests/support/torch_archive_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace proad::model;
  const std::string archive =
      proad::testing::ZipWriter()
          .Add("a/data.pkl", std::string_view(reinterpret_cast<const char*>(data), size))
          .Add("a/data/0", std::string(24, '\1'))
          .Add("a/data/1", std::string(96, '\2'))
          .Finish();
  try {
    const TensorFile file =
        ParseTorchArchive(std::as_bytes(std::span(archive.data(), archive.size())), "input");
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
