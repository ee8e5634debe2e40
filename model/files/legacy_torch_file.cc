#include "model/files/legacy_torch_file.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "model/files/error.h"
#include "model/files/pickle.h"
#include "model/files/text.h"
#include "model/files/torch_state_dict.h"

namespace proad::model {
namespace {

// A pickle of the integer 0x1950a86a20f9469cfc6c.
constexpr unsigned char kMagic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
constexpr int64_t kProtocol = 1001;

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  TensorFile Read(std::shared_ptr<const void> owner) {
    at_ = sizeof kMagic;
    CheckProtocol(TakePickle());
    CheckByteOrder(TakePickle());
    const Pickle state_dict = TakePickle();
    FindStorages(state_dict, TakePickle());
    return ReadStateDict(
        state_dict, source_, bytes_.size(),
        [this](const std::string& name, const PickledTensor& tensor) {
          const std::span<const std::byte> storage = storages_.at(tensor.storage);
          CheckStorageSize(source_, name, tensor, storage.size());
          return storage;
        },
        std::move(owner));
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const { throw CorruptFile(source_, message); }

  Pickle TakePickle() {
    const auto rest = bytes_.subspan(at_);
    Pickle pickle(rest.first(std::min(rest.size(), kMaxTorchPickle)), source_);
    at_ += pickle.size();
    return pickle;
  }

  void CheckProtocol(const Pickle& pickle) const {
    const Pickle::Value& version = pickle.root();
    if (version.kind != Pickle::Kind::kInt || version.integer != kProtocol) {
      Fail("has another protocol number than " + std::to_string(kProtocol) +
           ", that of torch.save before PyTorch 1.6");
    }
  }

  void CheckByteOrder(const Pickle& pickle) const {
    if (pickle.root().kind == Pickle::Kind::kDict) {
      const auto items = pickle.items(pickle.root());
      for (size_t i = 0; i < items.size(); i += 2) {
        const bool named = items[i].kind == Pickle::Kind::kString && items[i].text == kLittleEndian;
        if (named && items[i + 1].kind == Pickle::Kind::kBool && items[i + 1].integer != 0) return;
      }
    }
    Fail("does not say that it is little-endian; other byte orders cannot be read");
  }

  // Finds the bytes of all storages. `keys`: their keys, in the order of the file.
  void FindStorages(const Pickle& state_dict, const Pickle& keys) {
    std::map<std::string_view, DType> types;
    for (const PickledTensor& tensor : state_dict.tensors()) {
      if (types.emplace(tensor.storage, tensor.dtype).first->second != tensor.dtype) {
        Fail("has tensors of two types in the storage " + Quote(tensor.storage));
      }
    }
    if (keys.root().kind != Pickle::Kind::kList) Fail("has no list of storages");
    for (const Pickle::Value& key : keys.items(keys.root())) {
      const auto type = key.kind == Pickle::Kind::kString ? types.find(key.text) : types.end();
      if (type == types.end()) Fail("lists a storage that no tensor needs");
      // The view of the state dict's bytes outlives `keys`.
      if (!storages_.emplace(type->first, TakeStorage(type->first, type->second)).second) {
        Fail("lists the storage " + Quote(type->first) + " twice");
      }
    }
    for (const auto& [key, unused] : types) {
      if (!storages_.contains(key)) Fail("does not have the storage " + Quote(key));
    }
  }

  // A number of elements and the elements.
  std::span<const std::byte> TakeStorage(std::string_view key, DType type) {
    int64_t elements = 0;
    uint64_t size = 0;
    const auto rest = bytes_.subspan(at_);
    if (rest.size() < sizeof elements) Fail("ends before the storage " + Quote(key));
    std::memcpy(&elements, rest.data(), sizeof elements);
    if (elements < 0 ||
        __builtin_mul_overflow(static_cast<uint64_t>(elements), SizeOf(type), &size) ||
        size > rest.size() - sizeof elements) {
      Fail("ends within the storage " + Quote(key) + " of " + std::to_string(elements) +
           " elements");
    }
    at_ += sizeof elements + size;
    return rest.subspan(sizeof elements, size);
  }

  static constexpr std::string_view kLittleEndian = "little_endian";

  const std::span<const std::byte> bytes_;
  const std::string& source_;
  size_t at_ = 0;                                                    // the next byte
  std::map<std::string_view, std::span<const std::byte>> storages_;  // by key
};

}  // namespace

bool IsLegacyTorchFile(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof kMagic && std::memcmp(bytes.data(), kMagic, sizeof kMagic) == 0;
}

TensorFile ParseLegacyTorchFile(std::span<const std::byte> bytes, const std::string& source,
                                std::shared_ptr<const void> owner) {
  return Reader(bytes, source).Read(std::move(owner));
}

}  // namespace proad::model
