#include "model/files/pickle_program.h"

#include <bit>

#include "model/files/error.h"

namespace proad::model {

static_assert(std::endian::native == std::endian::little, "numbers are read without conversion");

void PickleProgram::Fail(const std::string& message) const {
  throw CorruptFile(source_, message + " (byte " + std::to_string(at_) + " of the pickle)");
}

std::string_view PickleProgram::TakeText(uint64_t size) {
  if (size > bytes_.size() - at_) Fail("the pickle is truncated");
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
  at_ += size;
  return text;
}

std::string_view PickleProgram::TakeLine() {
  const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_,
                              bytes_.size() - at_);
  const size_t end = rest.find('\n');
  if (end == std::string_view::npos) Fail("the pickle is truncated");
  at_ += end + 1;
  return rest.substr(0, end);
}

int64_t PickleProgram::TakeInteger(size_t bytes) {
  if (bytes > 8) Fail("an integer of more than 64 bits is refused");
  if (bytes == 0) return 0;
  uint64_t value = 0;
  std::memcpy(&value, TakeText(bytes).data(), bytes);
  const unsigned unused = static_cast<unsigned>(64 - 8 * bytes);
  return static_cast<int64_t>(value << unused) >> unused;
}

}  // namespace proad::model
