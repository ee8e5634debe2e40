// Reads the bytes of a pickle from front to back.
//
// No LibTorch. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace proad::model {

// Numbers are little-endian. Does not own the bytes.
class PickleProgram {
 public:
  PickleProgram(std::span<const std::byte> bytes, std::string source)
      : bytes_(bytes), source_(std::move(source)) {}

  // Throws CorruptFile with the message and the number of the next byte.
  [[noreturn]] void Fail(const std::string& message) const;

  // Each function throws CorruptFile when too few bytes are left.
  template <typename T>
  T Take() {
    T value;
    std::memcpy(&value, TakeText(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view TakeText(uint64_t size);
  std::string_view TakeLine();        // without its line feed, which is consumed
  int64_t TakeInteger(size_t bytes);  // two's complement of 0 to 8 bytes

  size_t position() const { return at_; }  // of the next byte

 private:
  const std::span<const std::byte> bytes_;
  const std::string source_;
  size_t at_ = 0;  // the next byte
};

}  // namespace proad::model
