// Bytes as the pickle of an otherwise good PyTorch archive, whose checksum agrees: what mutations
// of a whole archive hardly ever reach.
#include <string>
#include <string_view>

#include "tests/fuzz/archive_tensors.h"
#include "tests/support/torch_archive_writer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string archive =
      proad::testing::ZipWriter()
          .Add("a/data.pkl", std::string_view(reinterpret_cast<const char*>(data), size))
          .Add("a/data/0", std::string(24, '\1'))
          .Add("a/data/1", std::string(96, '\2'))
          .Finish();
  proad::model::CheckArchiveTensors(std::as_bytes(std::span(archive.data(), archive.size())));
  return 0;
}
