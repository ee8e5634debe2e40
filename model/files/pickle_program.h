// The bytes of a pickle, as its machine takes them.
//
// No LibTorch. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace proad::model {

// Taken from front to back, little-endian. Does not own the bytes.
class PickleProgram {
 public:
  PickleProgram(std::span<const std::byte> bytes, std::string source)
      : bytes_(bytes), source_(std::move(source)) {}

  // Throws CorruptFile with the message and the number of the next byte.
  [[noreturn]] void Fail(const std::string& message) const;

  // Each throws CorruptFile when the bytes end before.
  template <typename T>
  T Take() {
    T value;
    std::memcpy(&value, TakeText(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view TakeText(uint64_t size);
  std::string_view TakeLine();        // without its line feed, which is taken as well
  int64_t TakeInteger(size_t bytes);  // two's complement of 0 to 8 bytes

 private:
  const std::span<const std::byte> bytes_;
  const std::string source_;
  size_t at_ = 0;  // the next byte
};

}  // namespace proad::model
