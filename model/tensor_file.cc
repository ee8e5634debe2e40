#include "model/tensor_file.h"

namespace proad::model {
namespace {

struct DTypeEntry {
  size_t size;
  const char* name;
};

// In the order of the enum.
constexpr DTypeEntry kDTypes[] = {{8, "F64"}, {4, "F32"}, {2, "F16"}, {2, "BF16"}, {8, "I64"},
                                  {4, "I32"}, {2, "I16"}, {1, "I8"},  {1, "U8"},   {1, "BOOL"}};

}  // namespace

size_t SizeOf(DType dtype) { return kDTypes[static_cast<int>(dtype)].size; }

const char* NameOf(DType dtype) { return kDTypes[static_cast<int>(dtype)].name; }

}  // namespace proad::model
