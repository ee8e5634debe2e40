// Bounds-checked reads from the bytes of an image file.
//
// No LibTorch. Immutable: safe to share between threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "model/files/error.h"

namespace proad::model {

// Reads integers at a position. A read past the end throws InvalidInput (field "encoded", reason
// IMAGE_DECODE_FAILED) that says the file is truncated. Does not own the bytes.
class ByteView {
 public:
  // `what` is the format for messages, for example "PNG".
  ByteView(std::span<const uint8_t> bytes, const char* what) : bytes_(bytes), what_(what) {}

  size_t size() const { return bytes_.size(); }

  // Whether [at, at + count) lies inside the bytes.
  bool Holds(uint64_t at, uint64_t count) const {
    return at <= bytes_.size() && count <= bytes_.size() - at;
  }
  void Require(uint64_t at, uint64_t count) const {
    if (!Holds(at, count)) {
      throw InvalidImage("encoded", "IMAGE_DECODE_FAILED",
                         std::string(what_) + " file is truncated: it has " +
                             std::to_string(bytes_.size()) + " bytes, but " +
                             std::to_string(count) + " more are needed at byte " +
                             std::to_string(at));
    }
  }

  uint8_t U8(uint64_t at) const {
    Require(at, 1);
    return bytes_[at];
  }
  uint32_t Little16(uint64_t at) const { return Little(at, 2); }
  uint32_t Little24(uint64_t at) const { return Little(at, 3); }
  uint32_t Little32(uint64_t at) const { return Little(at, 4); }
  uint32_t Big16(uint64_t at) const { return Big(at, 2); }
  uint32_t Big32(uint64_t at) const { return Big(at, 4); }

  // Throws InvalidInput (field "encoded"). The message begins with the format.
  [[noreturn]] void Damaged(const std::string& message) const {
    throw InvalidImage("encoded", "IMAGE_DECODE_FAILED", std::string(what_) + " file: " + message);
  }
  [[noreturn]] void Unsupported(const std::string& message) const {
    throw InvalidImage("encoded", "IMAGE_FORMAT_UNSUPPORTED",
                       std::string(what_) + " file: " + message);
  }

 private:
  uint32_t Little(uint64_t at, int count) const {
    Require(at, count);
    uint32_t value = 0;
    for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes_[at + i];
    return value;
  }
  uint32_t Big(uint64_t at, int count) const {
    Require(at, count);
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) value = value << 8 | bytes_[at + i];
    return value;
  }

  std::span<const uint8_t> bytes_;
  const char* what_;
};

}  // namespace proad::model
