// Bytes as a PyTorch archive: an error, or tensors that are as large as they say and can be read to
// the last byte.
#include "tests/fuzz/archive_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  proad::model::CheckArchiveTensors(std::as_bytes(std::span(data, size)));
  return 0;
}
