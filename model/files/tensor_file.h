// Named tensors in a file, read without executing anything and without LibTorch.
//
// safetensors.h and torch_archive.h make them; weight_import.h and checkpoint.h turn them into
// torch::Tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace proad::model {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };

// Bytes of one element.
size_t SizeOf(DType dtype);

// Name as safetensors writes it: "F32", "BF16", "I64", ...
const char* NameOf(DType dtype);

// One tensor, contiguous, row-major, little-endian. Does not own its bytes, which may start at any
// address: copy them out with memcpy.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // exactly product(shape) * SizeOf(dtype) bytes
};

// The tensors of one file. Immutable; copies share the bytes, which live as long as the last copy.
struct TensorFile {
  std::string source;                           // path, for messages
  std::map<std::string, TensorView> tensors;    // by name
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__; empty otherwise
  std::shared_ptr<const void> bytes;            // keeps the views valid
};

// Reads a safetensors file or a PyTorch zip archive, told apart by their first bytes, not by their
// name. Throws as ReadSafetensors and ReadTorchArchive do; a file that is neither is a CorruptFile
// that says what would be right.
TensorFile ReadTensorFile(const std::filesystem::path& path);

}  // namespace proad::model
