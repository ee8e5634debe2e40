// Resizes and decodes images for pillow_parity.py, one request after another.
//
// A request on stdin is a line "MODE BYTES SIZE ...\n" and that many bytes; the answer on stdout is
// a line "WIDTH HEIGHT\n" and the pixels as raw RGB, or a line "error MESSAGE\n".
//   resize  BYTES WIDTH HEIGHT TO_WIDTH TO_HEIGHT
//   prepare BYTES WIDTH HEIGHT RESIZE_WIDTH RESIZE_HEIGHT CROP_WIDTH CROP_HEIGHT
//   decode  BYTES      the bytes are an image file
#include <cstdint>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/picture/decode.h"
#include "model/picture/image.h"
#include "model/picture/preprocess.h"
#include "model/picture/resize.h"

namespace proad::model {
namespace {

Image Run(const std::string& mode, const std::vector<int>& sizes, std::vector<uint8_t> bytes) {
  if (mode == "decode" && sizes.empty()) return DecodeImage(bytes);
  if (mode == "resize" && sizes.size() == 4) {
    return ResizeBilinear({sizes[0], sizes[1], std::move(bytes)}, sizes[2], sizes[3]);
  }
  if (mode == "prepare" && sizes.size() == 6) {
    PreparedImage prepared =
        Prepare({sizes[0], sizes[1], std::move(bytes)}, {.resize_height = sizes[3],
                                                         .resize_width = sizes[2],
                                                         .crop_height = sizes[5],
                                                         .crop_width = sizes[4]});
    return {prepared.width, prepared.height, std::move(prepared.pixels)};
  }
  throw std::runtime_error("unknown request");
}

void Serve() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string mode;
    size_t count = 0;
    words >> mode >> count;
    std::vector<int> sizes;
    for (int size; words >> size;) sizes.push_back(size);
    std::vector<uint8_t> bytes(count);
    std::cin.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(count));
    try {
      const Image image = Run(mode, sizes, std::move(bytes));
      std::cout << image.width << ' ' << image.height << '\n';
      std::cout.write(reinterpret_cast<const char*>(image.pixels.data()),
                      static_cast<std::streamsize>(image.pixels.size()));
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << '\n';
    }
    std::cout.flush();
  }
}

}  // namespace
}  // namespace proad::model

int main() {
  std::ios::sync_with_stdio(false);
  proad::model::Serve();
  return 0;
}
