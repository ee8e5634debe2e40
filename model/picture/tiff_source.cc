#include "model/picture/tiff_source.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace proad::model {
namespace {

std::string Format(const char* format, std::va_list arguments) {
  std::array<char, 256> text;
  std::vsnprintf(text.data(), text.size(), format, arguments);
  return text.data();
}

// Handlers return 1: the message is handled, so libtiff does not print it.
int HandleError(TIFF*, void* user, const char*, const char* format, std::va_list arguments) {
  auto& source = *static_cast<TiffSource*>(user);
  if (source.damage.empty()) source.damage = Format(format, arguments);
  return 1;
}

int HandleWarning(TIFF* tiff, void* user, const char* module, const char* format,
                  std::va_list arguments) {
  auto& source = *static_cast<TiffSource*>(user);
  // The bit order of old LZW files is fully supported; libtiff warns all the same.
  const bool old_lzw = std::strstr(format, "Old-style LZW") != nullptr;
  if (source.in_pixels && !old_lzw) return HandleError(tiff, user, module, format, arguments);
  ++source.dropped_warnings;
  return 1;
}

tmsize_t ReadBytes(thandle_t handle, void* out, tmsize_t count) {
  auto& source = *static_cast<TiffSource*>(handle);
  const uint64_t left = source.bytes.size() - std::min<uint64_t>(source.at, source.bytes.size());
  const uint64_t size = std::min<uint64_t>(static_cast<uint64_t>(count), left);
  std::copy_n(source.bytes.data() + (source.bytes.size() - left), size, static_cast<uint8_t*>(out));
  source.at += size;
  return static_cast<tmsize_t>(size);
}

tmsize_t WriteBytes(thandle_t, void*, tmsize_t) { return -1; }

toff_t Seek(thandle_t handle, toff_t offset, int whence) {
  auto& source = *static_cast<TiffSource*>(handle);
  if (whence == SEEK_CUR) offset += source.at;
  if (whence == SEEK_END) offset += source.bytes.size();
  return source.at = offset;
}

int Close(thandle_t) { return 0; }

toff_t Size(thandle_t handle) { return static_cast<TiffSource*>(handle)->bytes.size(); }

}  // namespace

TiffHandle OpenTiff(TiffSource& source) {
  const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(),
                                                                             TIFFOpenOptionsFree);
  // No buffer of libtiff is larger than its tags, of which a byte takes up to eight in memory, or a
  // row of the largest image. A hostile count in a tag must not ask for more.
  const size_t most = 8 * source.bytes.size() + (size_t{16} << 20);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(most));
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), HandleError, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), HandleWarning, &source);
  // "m": no memory mapping. "c": strips stay as the file divides them.
  return TiffHandle(TIFFClientOpenExt("", "rmc", &source, ReadBytes, WriteBytes, Seek, Close, Size,
                                      nullptr, nullptr, options.get()),
                    TIFFClose);
}

}  // namespace proad::model
