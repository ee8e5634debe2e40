// Reads state dicts that PyTorch's torch.save wrote: a zip file that contains a pickle, or the
// pickles of PyTorch before 1.6 (legacy_torch_file.h). No code of a pickle is run: pickle.h
// interprets the instructions that a state dict needs and refuses all others.
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

// Reads a `.pth` file. The pickled object is a dict of name -> tensor or parameter, or holds one
// (torch_state_dict.h). Tensors are views of the mapped file; a tensor whose strides are not row-major is
// copied. Compares the checksum of every zip entry that it uses; the older format has none.
//
// Throws FileError, or CorruptFile that names the entry, the tensor, the byte of the pickle or the
// refused name: for a damaged or hostile file, for compressed or encrypted entries, for big-endian
// data, and for element types without a DType.
TensorFile ReadTorchArchive(const std::filesystem::path& path);

// The same for bytes in memory. `source` names them in messages. `owner` keeps them valid; it may
// be null if the caller keeps them valid.
TensorFile ParseTorchArchive(std::span<const std::byte> bytes, const std::string& source,
                             std::shared_ptr<const void> owner = nullptr);

}  // namespace proad::model
