#include "model/files/torch_state_dict.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

// The memory that the views of a TensorFile refer to.
struct Owner {
  std::shared_ptr<const void> file;
  std::deque<std::vector<std::byte>> copies;  // of tensors that were not row-major
};

class Reader {
 public:
  Reader(const Pickle& pickle, const std::string& source, size_t file_size,
         const StorageReader& storage)
      : pickle_(pickle),
        source_(source),
        file_size_(file_size),
        storage_(storage),
        owner_(std::make_shared<Owner>()) {}

  TensorFile Read(std::shared_ptr<const void> owner) {
    owner_->file = std::move(owner);
    TensorFile file;
    file.source = source_;
    const auto items = pickle_.items(FindStateDict());
    for (size_t i = 0; i < items.size(); i += 2) Add(items[i], items[i + 1], file);
    file.bytes = owner_;
    return file;
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const { throw CorruptFile(source_, message); }

  bool IsStateDict(const Pickle::Value& value) const {
    if (value.kind != Pickle::Kind::kDict) return false;
    const auto items = pickle_.items(value);
    for (size_t i = 0; i < items.size(); i += 2) {
      if (items[i + 1].kind != Pickle::Kind::kTensor) return false;
    }
    return !items.empty();
  }

  // The dict itself, or the dict under keys that training programs use, which may be nested.
  std::optional<Pickle::Value> FindBelow(const Pickle::Value& value, int depth) const {
    constexpr int kMaxDepth = 4;
    if (IsStateDict(value)) return value;
    if (value.kind != Pickle::Kind::kDict || depth == kMaxDepth) return std::nullopt;
    const auto items = pickle_.items(value);
    for (const std::string_view wanted :
         {"teacher", "model", "state_dict", "model_state_dict", "module", "backbone", "encoder"}) {
      for (size_t i = 0; i < items.size(); i += 2) {
        if (items[i].kind != Pickle::Kind::kString || items[i].text != wanted) continue;
        if (const auto found = FindBelow(items[i + 1], depth + 1)) return found;
      }
    }
    return std::nullopt;
  }

  Pickle::Value FindStateDict() const {
    const Pickle::Value& root = pickle_.root();
    if (const auto found = FindBelow(root, 0)) return *found;
    if (root.kind != Pickle::Kind::kDict) Fail("does not hold a dict of tensors");
    const auto items = pickle_.items(root);
    constexpr size_t kShown = 10;
    std::string keys;
    for (size_t i = 0; i < std::min(items.size(), 2 * kShown); i += 2) {
      if (items[i].kind == Pickle::Kind::kString) keys += " " + Quote(items[i].text);
    }
    Fail(
        "is neither a dict of name to tensor nor holds one under \"teacher\", \"model\", "
        "\"state_dict\", \"model_state_dict\", \"module\", \"backbone\" or \"encoder\"; its keys "
        "are" +
        (keys.empty() ? " none" : keys) + (items.size() > 2 * kShown ? " .." : ""));
  }

  void Add(const Pickle::Value& key, const Pickle::Value& value, TensorFile& file) {
    if (key.kind != Pickle::Kind::kString || !IsUtf8(key.text)) {
      Fail("has a tensor whose name is not a UTF-8 string");
    }
    const PickledTensor& tensor = pickle_.tensor(value);
    const std::string name = "tensor " + Quote(key.text);
    TensorView view = {.dtype = tensor.dtype, .shape = tensor.shape, .data = {}};
    view.data = Elements(name, tensor, storage_(name, tensor));
    if (!file.tensors.emplace(key.text, std::move(view)).second) Fail("has " + name + " twice");
  }

  // The tensor's elements in row-major order: a part of the storage, or a copy.
  std::span<const std::byte> Elements(const std::string& name, const PickledTensor& tensor,
                                      std::span<const std::byte> storage) {
    const size_t size = SizeOf(tensor.dtype);
    const int64_t elements = CheckExtent(name, tensor);
    if (elements == 0) return storage.first(0);
    if (IsRowMajor(tensor)) return storage.subspan(tensor.offset * size, elements * size);
    CheckNoOverlap(name, tensor);
    copied_ += elements * size;
    if (copied_ > file_size_) {
      Fail(name +
           " and others before it are views that need more memory than the file has bytes; save "
           "tensor.contiguous()");
    }
    std::vector<std::byte>& copy = owner_->copies.emplace_back(elements * size);
    CopyStrided(tensor, storage, copy);
    return copy;
  }

  // Number of elements. All that are addressed lie within the storage after this.
  int64_t CheckExtent(const std::string& name, const PickledTensor& tensor) const {
    int64_t elements = 1;
    int64_t last = tensor.offset;
    bool fits = tensor.offset >= 0;
    for (size_t i = 0; i < tensor.shape.size() && fits; ++i) {
      const int64_t extent = tensor.shape[i];
      int64_t reach = 0;
      fits = extent >= 0 && tensor.strides[i] >= 0 &&
             !__builtin_mul_overflow(elements, extent, &elements);
      fits =
          fits && (extent == 0 || (!__builtin_mul_overflow(extent - 1, tensor.strides[i], &reach) &&
                                   !__builtin_add_overflow(last, reach, &last)));
    }
    if (!fits || (elements > 0 && last >= tensor.storage_elements)) {
      Fail(name + " reaches beyond its storage of " + std::to_string(tensor.storage_elements) +
           " elements");
    }
    return elements;
  }

  static bool IsRowMajor(const PickledTensor& tensor) {
    int64_t stride = 1;
    for (size_t i = tensor.shape.size(); i-- > 0;) {
      if (tensor.shape[i] != 1 && tensor.strides[i] != stride) return false;
      stride *= tensor.shape[i];
    }
    return true;
  }

  // Refuses views whose elements overlap, so that a copy is never larger than its storage: in order
  // of stride, each stride must exceed the reach of the axes before it.
  void CheckNoOverlap(const std::string& name, const PickledTensor& tensor) const {
    std::vector<std::pair<int64_t, int64_t>> axes;  // stride, extent
    for (size_t i = 0; i < tensor.shape.size(); ++i) {
      if (tensor.shape[i] > 1) axes.emplace_back(tensor.strides[i], tensor.shape[i]);
    }
    std::sort(axes.begin(), axes.end());
    int64_t reach = 0;  // within the storage, so it cannot overflow
    for (const auto& [stride, extent] : axes) {
      if (stride <= reach) {
        Fail(name + " is a view whose elements overlap; save tensor.contiguous()");
      }
      reach += stride * (extent - 1);
    }
  }

  static void CopyStrided(const PickledTensor& tensor, std::span<const std::byte> storage,
                          std::span<std::byte> copy) {
    const size_t size = SizeOf(tensor.dtype);
    std::vector<int64_t> index(tensor.shape.size(), 0);
    int64_t from = tensor.offset;
    for (size_t to = 0; to < copy.size(); to += size) {
      std::memcpy(&copy[to], &storage[from * size], size);
      for (size_t axis = index.size(); axis-- > 0;) {
        from += tensor.strides[axis];
        if (++index[axis] < tensor.shape[axis]) break;
        from -= tensor.strides[axis] * tensor.shape[axis];
        index[axis] = 0;
      }
    }
  }

  const Pickle& pickle_;
  const std::string& source_;
  const size_t file_size_;
  const StorageReader& storage_;
  const std::shared_ptr<Owner> owner_;
  uint64_t copied_ = 0;  // bytes of tensors
};

}  // namespace

TensorFile ReadStateDict(const Pickle& pickle, const std::string& source, size_t file_size,
                         const StorageReader& storage, std::shared_ptr<const void> owner) {
  return Reader(pickle, source, file_size, storage).Read(std::move(owner));
}

void CheckStorageSize(const std::string& source, const std::string& name,
                      const PickledTensor& tensor, size_t bytes) {
  uint64_t needed = 0;
  if (tensor.storage_elements >= 0 &&
      !__builtin_mul_overflow(static_cast<uint64_t>(tensor.storage_elements), SizeOf(tensor.dtype),
                              &needed) &&
      needed == bytes) {
    return;
  }
  throw CorruptFile(source, name + " says that its storage has " +
                                std::to_string(tensor.storage_elements) + " elements of " +
                                NameOf(tensor.dtype) + "; the file has " + std::to_string(bytes) +
                                " bytes of it");
}

}  // namespace proad::model
