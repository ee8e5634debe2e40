#include "client/cli/pictures.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

// Far above any camera and below protobuf's limit for a message; the server has its own.
constexpr uintmax_t kMaxFileBytes = uintmax_t{1} << 30;

bool HasPictureExtension(const fs::path& path) {
  static const std::set<std::string>* const kExtensions =
      new std::set<std::string>{".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"};
  return kExtensions->count(absl::AsciiStrToLower(path.extension().string())) > 0;
}

bool LeftOut(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".") || name == "ground_truth";
}

// The folder that all of `folders` lie in; of one, that one itself. Empty for the working
// directory.
fs::path CommonFolder(const std::vector<fs::path>& folders) {
  fs::path common = folders.front().lexically_normal();
  for (const fs::path& folder : folders) {
    const fs::path normal = folder.lexically_normal();
    const auto end =
        std::mismatch(common.begin(), common.end(), normal.begin(), normal.end()).first;
    fs::path shorter;
    for (auto part = common.begin(); part != end; ++part) shorter /= *part;
    common = shorter;
  }
  return common;
}

// Pictures below `root`, named from `base`, which lies above it.
void Walk(const fs::path& root, const fs::path& base, std::vector<Picture>& pictures) {
  std::error_code error;
  std::vector<fs::path> found;
  fs::recursive_directory_iterator entry(root, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // an entry that vanished is no entry
    if (LeftOut(entry->path())) {
      if (entry->is_directory(ignored)) entry.disable_recursion_pending();
    } else if (entry->is_regular_file(ignored) && HasPictureExtension(entry->path())) {
      found.push_back(entry->path());
    }
  }
  if (error) {
    pictures.push_back(
        {root, root.filename(),
         absl::PermissionDeniedError(absl::StrCat("cannot read the folder: ", error.message()))});
  } else if (found.empty()) {
    pictures.push_back(
        {root, root.filename(),
         absl::NotFoundError("no pictures in this folder: looked for .bmp, .jpeg, .jpg, .png, "
                             ".tif, .tiff and .webp")});
  }
  std::sort(found.begin(), found.end());
  for (fs::path& path : found) {
    const fs::path normal = path.lexically_normal();
    pictures.push_back(
        {path, base.empty() ? normal : normal.lexically_relative(base), absl::OkStatus()});
  }
}

}  // namespace

std::vector<Picture> CollectPictures(const std::vector<std::string>& arguments) {
  std::vector<fs::path> folders;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (fs::is_directory(argument, error)) folders.emplace_back(argument);
  }
  const fs::path base = folders.empty() ? fs::path() : CommonFolder(folders);

  std::vector<Picture> pictures;
  for (const std::string& argument : arguments) {
    const fs::path path(argument);
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      Walk(path, base, pictures);
    } else if (fs::exists(status)) {
      pictures.push_back({path, path.filename(), absl::OkStatus()});
    } else {
      pictures.push_back({path, path.filename(), absl::NotFoundError("no such file or folder")});
    }
  }
  return pictures;
}

absl::StatusOr<std::string> ReadPicture(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    return absl::InvalidArgumentError("not a regular file");
  }
  const uintmax_t bytes = fs::file_size(path, error);
  if (error) return absl::PermissionDeniedError(absl::StrCat("cannot read: ", error.message()));
  if (bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(bytes, " bytes are too much for one picture; at most ", kMaxFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::string content(bytes, '\0');
  file.read(content.data(), static_cast<std::streamsize>(bytes));
  if (!file) return absl::PermissionDeniedError("cannot read the file: check its permissions");
  return content;
}

}  // namespace proad::client
