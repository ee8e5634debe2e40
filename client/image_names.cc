#include "client/image_names.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace proad::client {
namespace {

constexpr std::array<absl::string_view, 10> kExtensions = {
    ".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"};

}  // namespace

bool HasImageExtension(const std::filesystem::path& path) {
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end();
}

std::string ImageExtensions() {
  return absl::StrCat(absl::StrJoin(kExtensions.begin(), kExtensions.end() - 1, ", "), " and ",
                      kExtensions.back());
}

}  // namespace proad::client
