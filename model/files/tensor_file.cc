#include "model/files/tensor_file.h"

#include <algorithm>

#include "model/files/error.h"
#include "model/files/mapped_file.h"
#include "model/files/safetensors.h"
#include "model/files/torch_archive.h"

namespace proad::model {
namespace {

struct DTypeEntry {
  size_t size;
  const char* name;
};

// In the order of the enum.
constexpr DTypeEntry kDTypes[] = {{8, "F64"}, {4, "F32"}, {2, "F16"}, {2, "BF16"}, {8, "I64"},
                                  {4, "I32"}, {2, "I16"}, {1, "I8"},  {1, "U8"},   {1, "BOOL"}};

bool StartsWith(std::span<const std::byte> bytes, size_t at, std::string_view text) {
  return bytes.size() >= at + text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

}  // namespace

size_t SizeOf(DType dtype) { return kDTypes[static_cast<int>(dtype)].size; }

const char* NameOf(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }

TensorFile ReadTensorFile(const std::filesystem::path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  const std::span<const std::byte> bytes = mapped->bytes();
  if (StartsWith(bytes, 8, "{")) return ParseSafetensors(bytes, path, mapped);
  // A bare pickle is PyTorch's format before 1.6.
  if (StartsWith(bytes, 0, "PK\x03\x04") || StartsWith(bytes, 0, "\x80\x02\x8a")) {
    return ParseTorchArchive(bytes, path, mapped);
  }
  throw CorruptFile(
      path, "is neither a safetensors file nor a PyTorch archive (a file made by torch.save)");
}

}  // namespace proad::model
