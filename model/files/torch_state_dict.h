// The tensors of a pickled state dict, whatever container holds its storages.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "model/files/pickle.h"
#include "model/files/tensor_file.h"

namespace proad::model {

// A pickle of torch.save that is larger is refused. A state dict takes about 150 bytes a tensor;
// the limit bounds the memory of a hostile pickle.
inline constexpr size_t kMaxTorchPickle = 8 << 20;

// The bytes of the storage that holds the elements of `tensor`, of exactly the size that the tensor
// states. `name`: of the tensor, for messages. Throws CorruptFile.
using StorageReader =
    std::function<std::span<const std::byte>(const std::string& name, const PickledTensor& tensor)>;

// The tensors of the dict in `pickle`, or of the first dict of tensors below keys that training
// programs use ("teacher", "model", "state_dict", ..), at most four dicts deep. A tensor whose strides are not row-major is copied; all copies together take at most
// `file_size` bytes. `owner` keeps the storages valid and may be null. Throws CorruptFile.
TensorFile ReadStateDict(const Pickle& pickle, const std::string& source, size_t file_size,
                         const StorageReader& storage, std::shared_ptr<const void> owner);

// Throws CorruptFile unless a storage of `bytes` bytes has the size that the tensor states.
void CheckStorageSize(const std::string& source, const std::string& name,
                      const PickledTensor& tensor, size_t bytes);

}  // namespace proad::model
