#include "model/files/torch_archive.h"

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "model/files/error.h"
#include "model/files/legacy_torch_file.h"
#include "model/files/mapped_file.h"
#include "model/files/pickle.h"
#include "model/files/text.h"
#include "model/files/torch_state_dict.h"
#include "model/files/zip_archive.h"

namespace proad::model {
namespace {

constexpr std::string_view kPickleName = "data.pkl";

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source), zip_(bytes, source) {}

  TensorFile Read(std::shared_ptr<const void> owner) {
    root_ = FindRoot();
    CheckByteOrder();
    const auto program = zip_.Read(root_ + std::string(kPickleName));
    if (program.size() > kMaxTorchPickle) {
      Fail("has a pickle of " + std::to_string(program.size()) +
           " bytes; a state dict's has at most " + std::to_string(kMaxTorchPickle));
    }
    const Pickle pickle(program, source_);
    return ReadStateDict(
        pickle, source_, bytes_.size(),
        [this](const std::string& name, const PickledTensor& tensor) {
          return ReadStorage(name, tensor);
        },
        std::move(owner));
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
    CheckStorageSize(source_, name, tensor, found->second.size());
    return found->second;
  }

  const std::span<const std::byte> bytes_;
  const std::string& source_;
  const ZipArchive zip_;
  std::string root_;
  std::map<std::string_view, std::span<const std::byte>> storages_;  // by key, checksum compared
  uint64_t read_ = 0;                                                // bytes of storages
};

}  // namespace

TensorFile ParseTorchArchive(std::span<const std::byte> bytes, const std::string& source,
                             std::shared_ptr<const void> owner) {
  if (IsLegacyTorchFile(bytes)) return ParseLegacyTorchFile(bytes, source, std::move(owner));
  return Reader(bytes, source).Read(std::move(owner));
}

TensorFile ReadTorchArchive(const std::filesystem::path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  return ParseTorchArchive(mapped->bytes(), path, mapped);
}

}  // namespace proad::model
