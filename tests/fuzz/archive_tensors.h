// What the fuzz targets of PyTorch archives check: an archive that parses has tensors of the right
// size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "model/files/error.h"
#include "model/files/tensor_file.h"
#include "model/files/torch_archive.h"
#include "model/files/zip_archive.h"

namespace proad::model {

// Parses the archive and reads all its tensors. CorruptFile is an accepted result; aborts if a
// tensor has fewer or more bytes than its shape and type need.
inline void CheckArchiveTensors(std::span<const std::byte> archive) {
  try {
    const TensorFile file = ParseTorchArchive(archive, "input");
    for (const auto& [name, view] : file.tensors) {
      size_t expected = SizeOf(view.dtype);
      for (const int64_t extent : view.shape) expected *= static_cast<size_t>(extent);
      if (view.data.size() != expected) std::abort();
      Crc32(view.data);  // reads every byte
    }
  } catch (const CorruptFile&) {
  }
}

}  // namespace proad::model
