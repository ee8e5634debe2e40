// The named tensors of a file, read without LibTorch and without running code from the file.
//
// safetensors.h and torch_archive.h read them; weight_import.h and checkpoint.h convert them to
// torch::Tensor. Values; safe to read from any thread.
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

// The name that safetensors uses: "F32", "BF16", "I64", ...
const char* NameOf(DType dtype);

// One tensor, contiguous, row-major, little-endian. Does not own its bytes. They may start at any
// address: copy them with memcpy.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;  // exactly product(shape) * SizeOf(dtype) bytes
};

// The tensors of one file. Copies share the bytes, which stay valid until the last copy is gone.
struct TensorFile {
  std::string source;                           // path, for messages
  std::map<std::string, TensorView> tensors;    // by name
  std::map<std::string, std::string> metadata;  // safetensors' __metadata__; empty otherwise
  std::shared_ptr<const void> bytes;            // keeps the views valid
};

// Reads a safetensors file or a file of torch.save. The first bytes decide which one it is, not
// the name. Throws as ReadSafetensors and ReadTorchArchive do, and CorruptFile for any other file.
TensorFile ReadTensorFile(const std::filesystem::path& path);

}  // namespace proad::model
