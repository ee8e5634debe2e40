// Reads state dicts in the format of torch.save before PyTorch 1.6: a magic number, a protocol
// number, a description of the machine, the state dict and the list of its storages, each a pickle
// of its own, and then the storages themselves. As in torch_archive.h, no code of a pickle is run.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "model/files/tensor_file.h"

namespace proad::model {

// Whether the bytes begin with the format's magic number.
bool IsLegacyTorchFile(std::span<const std::byte> bytes);

// The parameters, the result and the errors are those of ParseTorchArchive. The format has no
// checksums: only lengths and structure are checked.
TensorFile ParseLegacyTorchFile(std::span<const std::byte> bytes, const std::string& source,
                                std::shared_ptr<const void> owner);

}  // namespace proad::model
