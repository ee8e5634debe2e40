// The safetensors format: a JSON header and plain tensor data.
//
//   8 bytes    length n of the header, little-endian
//   n bytes    the header, for example
//              {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
//               "__metadata__": {"key": "text"}}
//   the rest   the bytes of the tensors; data_offsets count from the first of them
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "model/files/tensor_file.h"

namespace proad::model {

// Maps the file and checks all of it: the length of the header, its JSON (depth, duplicate keys),
// dtypes, shapes (with checks for overflow), and that the tensors cover the data without gap or
// overlap. Throws FileError, or CorruptFile that names the tensor or the byte.
//
// The format guarantees no alignment: a view may start at any byte. Copy its bytes with memcpy; do
// not cast its pointer.
TensorFile ReadSafetensors(const std::filesystem::path& path);

// The same for bytes in memory. `source` names them in messages. `owner` keeps them valid; it may
// be null if the caller keeps them valid.
TensorFile ParseSafetensors(std::span<const std::byte> bytes, const std::string& source,
                            std::shared_ptr<const void> owner = nullptr);

// Writes `path`, replacing an existing file, and flushes it to the disk. Equal arguments give equal
// bytes: tensors are sorted by descending element size, then by name, so each is aligned to its
// element size. Throws FileError, and InvalidInput when the size of a view does not match its shape
// or a name is not UTF-8 or is "__metadata__". After an error no file is left.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, TensorView>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace proad::model
