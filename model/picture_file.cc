#include "model/picture_file.h"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "model/error.h"
#include "model/strict_json.h"

namespace proad::model {
namespace {

[[noreturn]] void Refuse(const std::filesystem::path& path, const std::string& why) {
  throw InvalidInput("dataset", "UNREADABLE_IMAGE",
                     "picture " + Quote(path.string()) + " cannot be read: " + why);
}

}  // namespace

std::vector<uint8_t> ReadUpTo(const std::filesystem::path& path, int64_t limit) {
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw FileError(path, "read", error.value());
  std::vector<uint8_t> bytes(std::min<uintmax_t>(size, static_cast<uintmax_t>(limit) + 1));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw FileError(path, "read", errno);
  return bytes;
}

std::vector<uint8_t> ReadPicture(const std::filesystem::path& path, const ImageLimits& limits) {
  std::vector<uint8_t> bytes = ReadUpTo(path, limits.max_bytes);
  if (bytes.empty()) Refuse(path, "it is empty");
  if (static_cast<int64_t>(bytes.size()) > limits.max_bytes) {
    Refuse(path, "it has more than " + std::to_string(limits.max_bytes) + " bytes");
  }
  return bytes;
}

Image DecodePicture(const std::vector<uint8_t>& bytes, const std::filesystem::path& path,
                    const ImageLimits& limits) {
  try {
    return DecodeImage(bytes, limits);
  } catch (const InvalidInput& error) {
    Refuse(path, error.what());
  }
}

}  // namespace proad::model
