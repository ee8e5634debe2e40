// Builds archives as torch.save writes them, and such as it never would.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/files/zip_archive.h"

namespace proad::testing {

// A zip file in memory. What is written of an entry can be made to lie.
class ZipWriter {
 public:
  struct Lie {
    uint16_t method = 0;
    uint16_t flags = 0;
    uint32_t crc_xor = 0;
    int64_t size_off_by = 0;
    bool alias = false;  // the bytes are those of the entry before
  };

  // A lie is told in the directory, which is what readers go by.
  ZipWriter& Add(std::string_view name, std::string_view data) { return Add(name, data, Lie()); }
  ZipWriter& Add(std::string_view name, std::string_view data, const Lie& lie) {
    const uint32_t crc = model::Crc32(std::as_bytes(std::span(data.data(), data.size())));
    if (!lie.alias) begin_ = static_cast<uint32_t>(bytes_.size());
    const uint32_t begin = begin_;
    const uint32_t size =
        static_cast<uint32_t>(static_cast<int64_t>(data.size()) + lie.size_off_by);
    if (!lie.alias) {
      Put<uint32_t>(bytes_, 0x04034b50);
      PutCommon(bytes_, lie, crc ^ lie.crc_xor, size, name);
      bytes_ += name;
      bytes_ += data;
    }
    Put<uint32_t>(directory_, 0x02014b50);
    Put<uint16_t>(directory_, 0);
    PutCommon(directory_, lie, crc ^ lie.crc_xor, zip64_ ? 0xffffffff : size, name,
              zip64_ ? 28 : 0);
    directory_ += std::string(10, '\0');  // comment, disk, attributes
    Put<uint32_t>(directory_, zip64_ ? 0xffffffff : begin);
    directory_ += name;
    if (zip64_) {
      Put<uint16_t>(directory_, 1);
      Put<uint16_t>(directory_, 24);
      for (const uint64_t number : {size, size, begin}) Put<uint64_t>(directory_, number);
    }
    ++entries_;
    return *this;
  }

  // From here on sizes and offsets stand in zip64 fields.
  ZipWriter& UseZip64() {
    zip64_ = true;
    return *this;
  }

  std::string Finish(std::string_view comment = "") {
    const uint64_t begin = bytes_.size();
    std::string file = bytes_ + directory_;
    if (zip64_) {
      const uint64_t record = file.size();
      Put<uint32_t>(file, 0x06064b50);
      Put<uint64_t>(file, 44);
      file += std::string(12, '\0');
      for (const uint64_t number :
           {uint64_t{entries_}, uint64_t{entries_}, uint64_t{directory_.size()}, begin}) {
        Put<uint64_t>(file, number);
      }
      Put<uint32_t>(file, 0x07064b50);
      Put<uint32_t>(file, 0);
      Put<uint64_t>(file, record);
      Put<uint32_t>(file, 1);
    }
    Put<uint32_t>(file, 0x06054b50);
    Put<uint32_t>(file, 0);
    Put<uint16_t>(file, entries_);
    Put<uint16_t>(file, entries_);
    Put<uint32_t>(file, static_cast<uint32_t>(directory_.size()));
    Put<uint32_t>(file, zip64_ ? 0xffffffff : static_cast<uint32_t>(begin));
    Put<uint16_t>(file, static_cast<uint16_t>(comment.size()));
    return file += comment;
  }

 private:
  template <typename T>
  static void Put(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }

  static void PutCommon(std::string& out, const Lie& lie, uint32_t crc, uint32_t size,
                        std::string_view name, uint16_t extra = 0) {
    Put<uint16_t>(out, 20);
    Put<uint16_t>(out, lie.flags);
    Put<uint16_t>(out, lie.method);
    Put<uint32_t>(out, 0);  // time
    Put<uint32_t>(out, crc);
    Put<uint32_t>(out, size);
    Put<uint32_t>(out, size);
    Put<uint16_t>(out, static_cast<uint16_t>(name.size()));
    Put<uint16_t>(out, extra);
  }

  std::string bytes_;
  std::string directory_;
  uint32_t begin_ = 0;  // of the last entry
  uint16_t entries_ = 0;
  bool zip64_ = false;
};

// Pieces of a pickle. A whole one is "\x80\x02" + .. + ".".
inline std::string PickleText(std::string_view text) {
  std::string out = "X";
  const uint32_t size = static_cast<uint32_t>(text.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  return out.append(text);
}

inline std::string PickleInt(int64_t value) {
  std::string out = "\x8a\x08";
  return out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string PickleTuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += PickleInt(value);
  return out + "t";
}

struct PickledTensorSpec {
  std::string type = "FloatStorage";
  std::string key = "0";
  int64_t storage_elements = 6;
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
};

inline std::string PickleTensor(const PickledTensorSpec& spec) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + PickleText("storage") + "ctorch\n" + spec.type +
         "\n" + PickleText(spec.key) + PickleText("cpu") + PickleInt(spec.storage_elements) + "tQ" +
         PickleInt(spec.offset) + PickleTuple(spec.shape) + PickleTuple(spec.strides) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

// A dict of one tensor.
inline std::string PickleStateDict(const std::string& name, const PickledTensorSpec& spec) {
  return "\x80\x02}" + PickleText(name) + PickleTensor(spec) + "s.";
}

}  // namespace proad::testing
