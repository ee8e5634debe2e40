#include "model/picture/image_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "model/files/descriptor.h"
#include "model/files/error.h"
#include "model/files/open_nofollow.h"
#include "model/files/text.h"
#include "model/picture/decode.h"

namespace proad::model {
namespace {

[[noreturn]] void Refuse(const std::filesystem::path& path, const std::string& why) {
  throw UnreadableImage("dataset", "the image " + Quote(path.string()) + " cannot be read: " + why);
}

}  // namespace

std::vector<uint8_t> ReadFileUpTo(const std::filesystem::path& path, int64_t limit, Links links) {
  const Descriptor file(links == Links::kNone ? OpenNoFollow(path)
                                              : open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat found = {};
  if (file.get() < 0 || fstat(file.get(), &found) != 0) throw FileError(path, "read", errno);
  const auto size = static_cast<size_t>(std::min<int64_t>(found.st_size, limit + 1));
  std::vector<uint8_t> bytes(size);
  for (size_t got = 0; got < size;) {
    const ssize_t n = read(file.get(), bytes.data() + got, size - got);
    if (n < 0 && errno == EINTR) continue;
    // n == 0: the file was truncated while it was read.
    if (n <= 0) throw FileError(path, "read", n < 0 ? errno : EIO);
    got += static_cast<size_t>(n);
  }
  return bytes;
}

std::vector<uint8_t> ReadImageFile(const std::filesystem::path& path, const ImageLimits& limits,
                                   Links links) {
  std::vector<uint8_t> bytes = ReadFileUpTo(path, limits.max_bytes, links);
  if (bytes.empty()) Refuse(path, "it is empty");
  const std::string excess = BytesExcess(limits, static_cast<int64_t>(bytes.size()));
  if (!excess.empty()) Refuse(path, "it has more bytes: " + excess);
  return bytes;
}

Image DecodeImageFile(const std::vector<uint8_t>& bytes, const std::filesystem::path& path,
                      const ImageLimits& limits, const ImageReading& reading) {
  try {
    return DecodeImage(bytes, limits, reading);
  } catch (const InvalidInput& error) {
    Refuse(path, error.what());
  }
}

}  // namespace proad::model
