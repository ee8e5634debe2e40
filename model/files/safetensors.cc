#include "model/files/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/mapped_file.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "tensors are mapped without conversion");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // as in the reference implementation
constexpr size_t kMaxRank = 64;
constexpr char kMetadata[] = "__metadata__";

// The parser of one file; every failure is a CorruptFile with its source.
class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  TensorFile Parse() {
    const json header = ReadHeader();
    TensorFile file;
    file.source = source_;
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        file.metadata = ReadMetadata(value);
      } else {
        file.tensors[name] = ReadTensor("tensor " + Quote(name), value);
      }
    }
    CheckCoverage(file);
    return file;
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const { throw CorruptFile(source_, message); }

  json ReadHeader() {
    if (bytes_.size() < kLengthBytes) {
      Fail("has " + std::to_string(bytes_.size()) + " bytes; a safetensors file has at least " +
           std::to_string(kLengthBytes));
    }
    uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), kLengthBytes);
    if (length > kMaxHeader) {
      Fail("claims a header of " + std::to_string(length) + " bytes; at most " +
           std::to_string(kMaxHeader) + " are allowed (is it a safetensors file?)");
    }
    if (length > bytes_.size() - kLengthBytes) {
      Fail("is truncated: its header ends at byte " + std::to_string(kLengthBytes + length) +
           ", the file at byte " + std::to_string(bytes_.size()));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes,
                                length);
    if (!text.starts_with('{')) Fail("has no '{' at byte 8, where the header must begin");
    data_ = bytes_.subspan(kLengthBytes + length);
    return ParseStrictJson(text, source_ + " (header)", {.depth = 3, .array_length = kMaxRank});
  }

  std::map<std::string, std::string> ReadMetadata(const json& value) const {
    if (!value.is_object()) Fail("__metadata__ must be an object");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) Fail("__metadata__ " + Quote(key) + " must be a string");
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  TensorView ReadTensor(const std::string& tensor, const json& value) const {
    if (!value.is_object()) Fail(tensor + " must be an object");
    for (const auto& [key, unused] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        Fail(tensor + " has the unknown key " + Quote(key));
      }
    }
    TensorView view;
    view.dtype = ReadDType(tensor, value);
    uint64_t bytes = SizeOf(view.dtype);
    for (const uint64_t extent : ReadNumbers(tensor, value, "shape")) {
      if (__builtin_mul_overflow(bytes, extent, &bytes) || !std::in_range<int64_t>(extent)) {
        Fail(tensor + " has a shape whose product overflows");
      }
      view.shape.push_back(static_cast<int64_t>(extent));
    }
    const std::vector<uint64_t> offsets = ReadNumbers(tensor, value, "data_offsets");
    if (offsets.size() != 2) Fail(tensor + " must have two data_offsets");
    const auto [begin, end] = std::pair(offsets[0], offsets[1]);
    if (begin > end || end > data_.size()) {
      Fail(tensor + " lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) +
           " of the data, which has " + std::to_string(data_.size()));
    }
    if (end - begin != bytes) {
      Fail(tensor + " has " + std::to_string(end - begin) + " bytes; its shape and dtype need " +
           std::to_string(bytes));
    }
    view.data = data_.subspan(begin, end - begin);
    return view;
  }

  DType ReadDType(const std::string& tensor, const json& value) const {
    const auto found = value.find("dtype");
    if (found == value.end() || !found->is_string()) Fail(tensor + " has no dtype");
    const std::string& name = found->get_ref<const std::string&>();
    std::string known;
    for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
      const DType dtype = static_cast<DType>(i);
      if (name == NameOf(dtype)) return dtype;
      known += std::string(i == 0 ? "" : ", ") + NameOf(dtype);
    }
    Fail(tensor + " has the dtype " + Quote(name) + "; known are " + known);
  }

  std::vector<uint64_t> ReadNumbers(const std::string& tensor, const json& value,
                                    const char* key) const {
    const auto found = value.find(key);
    if (found == value.end() || !found->is_array()) Fail(tensor + " has no array " + key);
    std::vector<uint64_t> numbers;
    for (const json& number : *found) {
      if (!number.is_number_unsigned()) {
        Fail(tensor + ": " + key + " must hold whole numbers from 0 on");
      }
      numbers.push_back(number.get<uint64_t>());
    }
    return numbers;
  }

  // Sorted by their bytes, the tensors must cover the data without gap or overlap.
  void CheckCoverage(const TensorFile& file) const {
    using Entry = std::map<std::string, TensorView>::const_pointer;
    std::vector<Entry> order;
    for (const auto& entry : file.tensors) order.push_back(&entry);
    std::sort(order.begin(), order.end(), [](Entry a, Entry b) {
      return std::pair(a->second.data.data(), a->second.data.size()) <
             std::pair(b->second.data.data(), b->second.data.size());
    });
    size_t covered = 0;
    for (const Entry entry : order) {
      const size_t begin = static_cast<size_t>(entry->second.data.data() - data_.data());
      if (begin != covered) {
        Fail("tensor " + Quote(entry->first) + " begins at byte " + std::to_string(begin) +
             " of the data; " + (begin < covered ? "it overlaps" : "there is a gap after") +
             " the tensor that ends at byte " + std::to_string(covered));
      }
      covered = begin + entry->second.data.size();
    }
    if (covered != data_.size()) {
      Fail("has " + std::to_string(data_.size()) + " bytes of data; its tensors cover " +
           std::to_string(covered));
    }
  }

  const std::span<const std::byte> bytes_;
  const std::string& source_;
  std::span<const std::byte> data_;  // the bytes after the header
};

// ---- writing

void CheckView(const std::string& name, const TensorView& view) {
  const auto refuse = [&](const std::string& message) {
    throw InvalidInput("tensors", "TENSOR_INVALID", "tensor " + Quote(name) + " " + message);
  };
  if (name == kMetadata) refuse("has a name that the format reserves");
  if (!IsUtf8(name)) refuse("has a name that is not UTF-8");
  size_t bytes = SizeOf(view.dtype);
  for (const int64_t extent : view.shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, static_cast<size_t>(extent), &bytes)) {
      refuse("has an impossible shape");
    }
  }
  if (view.shape.size() > kMaxRank) refuse("has more than " + std::to_string(kMaxRank) + " axes");
  if (bytes != view.data.size()) {
    refuse("has " + std::to_string(view.data.size()) + " bytes; its shape and dtype need " +
           std::to_string(bytes));
  }
}

using Entry = std::map<std::string, TensorView>::const_pointer;

std::string MakeHeader(const std::vector<Entry>& order,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  for (const auto& [key, text] : metadata) {
    if (!IsUtf8(key) || !IsUtf8(text)) {
      throw InvalidInput("metadata", "METADATA_INVALID",
                         "metadata " + Quote(key) + " is not UTF-8");
    }
    header[kMetadata][key] = text;
  }
  size_t offset = 0;
  for (const Entry entry : order) {
    const TensorView& view = entry->second;
    header[entry->first] = {{"dtype", NameOf(view.dtype)},
                            {"shape", view.shape},
                            {"data_offsets", {offset, offset + view.data.size()}}};
    offset += view.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data to 8 bytes
  if (text.size() > kMaxHeader) {
    throw InvalidInput("tensors", "TENSOR_INVALID",
                       "the header is larger than the format allows; use fewer or shorter names");
  }
  return text;
}

}  // namespace

TensorFile ParseSafetensors(std::span<const std::byte> bytes, const std::string& source,
                            std::shared_ptr<const void> owner) {
  TensorFile file = Parser(bytes, source).Parse();
  file.bytes = std::move(owner);
  return file;
}

TensorFile ReadSafetensors(const std::filesystem::path& path) {
  auto mapped = std::make_shared<const MappedFile>(path);
  return ParseSafetensors(mapped->bytes(), path, mapped);
}

void WriteSafetensors(const std::filesystem::path& path,
                      const std::map<std::string, TensorView>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::vector<Entry> order;
  for (const auto& entry : tensors) {
    CheckView(entry.first, entry.second);
    order.push_back(&entry);
  }
  std::stable_sort(order.begin(), order.end(), [](Entry a, Entry b) {
    return SizeOf(a->second.dtype) > SizeOf(b->second.dtype);
  });
  const std::string header = MakeHeader(order, metadata);
  const uint64_t length = header.size();
  AtomicFile file(path);
  file.Write(std::as_bytes(std::span(&length, 1)));
  file.Write(header);
  for (const Entry entry : order) file.Write(entry->second.data);
  file.Commit();
}

}  // namespace proad::model
