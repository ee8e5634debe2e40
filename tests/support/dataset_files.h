// Small trees of files in the layouts of datasets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tests/support/temp_directory.h"

namespace proad::testing {

// A BMP file of one colour, whole.
inline std::string SmallBmp(uint8_t shade = 0, int width = 4, int height = 4) {
  const int row = (width * 3 + 3) / 4 * 4;
  std::string file = "BM";
  const auto append = [&file](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) file.push_back(static_cast<char>(value >> (8 * i)));
  };
  append(static_cast<uint32_t>(54 + row * height), 4);
  append(0, 4);
  append(54, 4);  // where the pixels start
  append(40, 4);  // bytes of the header that follows
  append(static_cast<uint32_t>(width), 4);
  append(static_cast<uint32_t>(height), 4);
  append(1, 2);
  append(24, 2);
  for (int i = 0; i < 6; ++i) append(0, 4);
  file.append(static_cast<size_t>(row) * height, static_cast<char>(shade));
  return file;
}

// Writes ROOT/name, and the folders above it.
inline void WriteFile(const std::filesystem::path& root, const std::string& name,
                      std::string_view text = "") {
  std::filesystem::create_directories((root / name).parent_path());
  WriteText(root / name, text);
}

inline void WriteFiles(const std::filesystem::path& root,
                       std::initializer_list<const char*> names) {
  for (const char* name : names) WriteFile(root, name);
}

}  // namespace proad::testing
