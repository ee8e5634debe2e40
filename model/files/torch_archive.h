// State dicts as PyTorch's torch.save writes them: a zip file with a pickle inside. Nothing of the
// pickle is ever executed: a small machine of our own (pickle.h) understands what a state dict
// needs and refuses everything else by name.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "model/files/tensor_file.h"

namespace proad::model {

// Reads a `.pth` of PyTorch 1.6 or later. The pickled object is a dict of name -> tensor or
// parameter, or a dict that holds such a dict under "teacher", "model" or "state_dict" (the first
// of these that is there). Tensors are views of the mapped file; one whose strides are not
// row-major is copied, once. Checksums of all that is used are compared.
//
// Throws FileError, or CorruptFile naming the entry, the tensor, the byte of the pickle or the
// refused name: for a damaged or hostile file, for the format before PyTorch 1.6, for compressed or
// encrypted entries, for big-endian data and for element types without a DType. What to do about it
// is part of the message where something can be.
TensorFile ReadTorchArchive(const std::filesystem::path& path);

// The same for bytes in memory. `source` names them in messages; `owner` keeps them valid and may
// be null when the caller does.
TensorFile ParseTorchArchive(std::span<const std::byte> bytes, const std::string& source,
                             std::shared_ptr<const void> owner = nullptr);

}  // namespace proad::model
