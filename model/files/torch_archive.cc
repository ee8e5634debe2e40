#include "model/files/torch_archive.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "model/files/error.h"
#include "model/files/mapped_file.h"
#include "model/files/pickle.h"
#include "model/files/text.h"
#include "model/files/zip_archive.h"

namespace proad::model {
namespace {

// A state dict takes about 150 bytes a tensor. The limit bounds the memory of a hostile pickle.
constexpr size_t kMaxPickle = 8 << 20;

constexpr std::string_view kPickleName = "data.pkl";

// The memory that the views of a TensorFile refer to.
struct Owner {
  std::shared_ptr<const void> archive;
  std::deque<std::vector<std::byte>> copies;  // of tensors that were not row-major
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& source,
         std::shared_ptr<const void> owner)
      : bytes_(bytes), source_(source), zip_(bytes, source), owner_(std::make_shared<Owner>()) {
    owner_->archive = std::move(owner);
  }

  TensorFile Read() {
    root_ = FindRoot();
    CheckByteOrder();
    const auto program = zip_.Read(root_ + std::string(kPickleName));
    if (program.size() > kMaxPickle) {
      Fail("has a pickle of " + std::to_string(program.size()) +
           " bytes; a state dict's has at most " + std::to_string(kMaxPickle));
    }
    const Pickle pickle(program, source_);
    TensorFile file;
    file.source = source_;
    const auto items = pickle.items(FindStateDict(pickle));
    for (size_t i = 0; i < items.size(); i += 2) Add(pickle, items[i], items[i + 1], file);
    file.bytes = owner_;
    return file;
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const { throw CorruptFile(source_, message); }

  // The folder of all entries, with its '/'.
  std::string FindRoot() const {
    std::string root;
    size_t found = 0;
    for (const auto& [name, unused] : zip_.entries()) {
      const size_t slash = name.find('/');
      if (slash == std::string_view::npos || name.substr(slash + 1) != kPickleName) continue;
      root = name.substr(0, slash + 1);
      ++found;
    }
    if (found == 0) Fail("is a zip file, but not one of torch.save: it has no entry */data.pkl");
    if (found > 1) Fail("has several entries */data.pkl");
    if (zip_.entries().contains(root + "constants.pkl")) {
      Fail("is a TorchScript program; save its state_dict() with torch.save instead");
    }
    return root;
  }

  // Files from before PyTorch 2.0 are little-endian and have no such entry.
  void CheckByteOrder() const {
    const std::string name = root_ + "byteorder";
    if (!zip_.entries().contains(name)) return;
    const auto bytes = zip_.Read(name);
    const std::string_view order(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (order != "little") {
      Fail("has the byte order " + Quote(order) + "; only \"little\" can be read");
    }
  }

  static bool IsStateDict(const Pickle& pickle, const Pickle::Value& value) {
    if (value.kind != Pickle::Kind::kDict) return false;
    const auto items = pickle.items(value);
    for (size_t i = 0; i < items.size(); i += 2) {
      if (items[i + 1].kind != Pickle::Kind::kTensor) return false;
    }
    return !items.empty();
  }

  // The dict itself, or the dict under one of the keys that training programs use.
  Pickle::Value FindStateDict(const Pickle& pickle) const {
    const Pickle::Value& root = pickle.root();
    if (IsStateDict(pickle, root)) return root;
    if (root.kind != Pickle::Kind::kDict) Fail("does not hold a dict of tensors");
    const auto items = pickle.items(root);
    for (const std::string_view wanted : {"teacher", "model", "state_dict"}) {
      for (size_t i = 0; i < items.size(); i += 2) {
        if (items[i].kind == Pickle::Kind::kString && items[i].text == wanted &&
            IsStateDict(pickle, items[i + 1])) {
          return items[i + 1];
        }
      }
    }
    constexpr size_t kShown = 10;
    std::string keys;
    for (size_t i = 0; i < std::min(items.size(), 2 * kShown); i += 2) {
      if (items[i].kind == Pickle::Kind::kString) keys += " " + Quote(items[i].text);
    }
    Fail(
        "is neither a dict of name to tensor nor holds one under \"teacher\", \"model\" or "
        "\"state_dict\"; its keys are" +
        (keys.empty() ? " none" : keys) + (items.size() > 2 * kShown ? " .." : ""));
  }

  void Add(const Pickle& pickle, const Pickle::Value& key, const Pickle::Value& value,
           TensorFile& file) {
    if (key.kind != Pickle::Kind::kString || !IsUtf8(key.text)) {
      Fail("has a tensor whose name is not a UTF-8 string");
    }
    const PickledTensor& tensor = pickle.tensor(value);
    const std::string name = "tensor " + Quote(key.text);
    TensorView view = {.dtype = tensor.dtype, .shape = tensor.shape, .data = {}};
    view.data = Elements(name, tensor, ReadStorage(name, tensor));
    if (!file.tensors.emplace(key.text, std::move(view)).second) Fail("has " + name + " twice");
  }

  std::span<const std::byte> ReadStorage(const std::string& name, const PickledTensor& tensor) {
    auto found = storages_.find(tensor.storage);
    if (found == storages_.end()) {
      const std::string entry = root_ + "data/" + std::string(tensor.storage);
      if (!zip_.entries().contains(entry))
        Fail(name + " needs the entry " + Quote(entry) + ", which is missing");
      found = storages_.emplace(tensor.storage, zip_.Read(entry)).first;
      // Entries that share bytes would let a small file ask for endless checksums.
      read_ += found->second.size();
      if (read_ > bytes_.size()) Fail("has entries that overlap");
    }
    uint64_t bytes = 0;
    if (tensor.storage_elements < 0 ||
        __builtin_mul_overflow(static_cast<uint64_t>(tensor.storage_elements), SizeOf(tensor.dtype),
                               &bytes) ||
        bytes != found->second.size()) {
      Fail(name + " says that its storage has " + std::to_string(tensor.storage_elements) +
           " elements of " + NameOf(tensor.dtype) + "; the entry has " +
           std::to_string(found->second.size()) + " bytes");
    }
    return found->second;
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
    if (copied_ > bytes_.size()) {
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

  const std::span<const std::byte> bytes_;
  const std::string& source_;
  const ZipArchive zip_;
  std::shared_ptr<Owner> owner_;
  std::string root_;
  std::map<std::string_view, std::span<const std::byte>> storages_;  // by key, checksum compared
  uint64_t read_ = 0;                                                // bytes of storages
  uint64_t copied_ = 0;                                              // bytes of tensors
};

// A file of torch.save before PyTorch 1.6: pickles one after another, the first of them a magic
// number.
bool IsLegacyFormat(std::span<const std::byte> bytes) {
  constexpr unsigned char kMagic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                      0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
  return bytes.size() >= 2 + sizeof kMagic && bytes[0] == std::byte{0x80} &&
         std::memcmp(bytes.data() + 2, kMagic, sizeof kMagic) == 0;
}

}  // namespace

TensorFile ParseTorchArchive(std::span<const std::byte> bytes, const std::string& source,
                             std::shared_ptr<const void> owner) {
  if (IsLegacyFormat(bytes)) {
    throw CorruptFile(
        source,
        "is in PyTorch's format before 1.6; load it in PyTorch and save it again with "
        "torch.save, or as safetensors");
  }
  return Reader(bytes, source, std::move(owner)).Read();
}

TensorFile ReadTorchArchive(const std::filesystem::path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  return ParseTorchArchive(mapped->bytes(), path, mapped);
}

}  // namespace proad::model
