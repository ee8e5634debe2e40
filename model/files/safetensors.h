// The safetensors format: a JSON header and plain tensor data.
//
//   8 bytes   length n of the header, little-endian
//   n bytes   {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..,
//   "__metadata__": {..}} the rest  the tensors' bytes; data_offsets count from here
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

// Maps the file and checks it whole: header length, JSON (depth, duplicate keys), dtypes, shapes
// (products are taken with overflow checks), and that the tensors cover the data exactly, without
// gap or overlap. Throws FileError, or CorruptFile naming the tensor or the byte.
//
// The format promises no alignment: a view may start at any byte, so copy out of it with memcpy and
// never cast its pointer.
TensorFile ReadSafetensors(const std::filesystem::path& path);

// The same for bytes in memory. `source` names them in messages; `owner` keeps them valid and may
// be null when the caller does.
TensorFile ParseSafetensors(std::span<const std::byte> bytes, const std::string& source,
                            std::shared_ptr<const void> owner = nullptr);

// Writes `path` (replacing it) and flushes it to the disk. The bytes depend on the arguments alone:
// tensors stand by falling element size, then by name, so each is aligned to its element. Throws
// FileError; InvalidInput when a view's size is not that of its shape, or a name is not UTF-8 or is
// "__metadata__". On an error no file is left.
void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, TensorView>& tensors,
                      const std::map<std::string, std::string>& metadata = {});

}  // namespace proad::model
