#include "client/cli/images.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

// Larger than any camera image, and below protobuf's limit of 2 GiB. The server has its own limit.
constexpr uintmax_t kMaxFileBytes = uintmax_t{1} << 30;

bool HasImageExtension(const fs::path& path) {
  static const std::set<std::string>* const kExtensions =
      new std::set<std::string>{".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"};
  return kExtensions->count(absl::AsciiStrToLower(path.extension().string())) > 0;
}

bool IsSkipped(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".") || name == "ground_truth";
}

// Returns the common parent of `folders`, or the folder itself if there is one only. Empty for the
// working directory.
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

// Adds the images below `root`, with paths relative to its parent `base`.
void Walk(const fs::path& root, const fs::path& base, std::vector<InputImage>& images) {
  std::error_code error;
  std::vector<fs::path> found;
  fs::recursive_directory_iterator entry(root, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code ignored;  // an entry can disappear during the walk
    if (IsSkipped(entry->path())) {
      if (entry->is_directory(ignored)) entry.disable_recursion_pending();
    } else if (entry->is_regular_file(ignored) && HasImageExtension(entry->path())) {
      found.push_back(entry->path());
    }
  }
  if (error) {
    images.push_back(
        {root, root.filename(),
         absl::PermissionDeniedError(absl::StrCat("cannot read the folder: ", error.message()))});
  } else if (found.empty()) {
    images.push_back(
        {root, root.filename(),
         absl::NotFoundError("no images in this folder: it holds no .bmp, .jpeg, .jpg, .png, .tif, "
                             ".tiff or .webp")});
  }
  std::sort(found.begin(), found.end());
  for (fs::path& path : found) {
    const fs::path normal = path.lexically_normal();
    images.push_back(
        {path, base.empty() ? normal : normal.lexically_relative(base), absl::OkStatus()});
  }
}

}  // namespace

std::vector<InputImage> CollectImages(const std::vector<std::string>& arguments) {
  std::vector<fs::path> folders;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (fs::is_directory(argument, error)) folders.emplace_back(argument);
  }
  const fs::path base = folders.empty() ? fs::path() : CommonFolder(folders);

  std::vector<InputImage> images;
  for (const std::string& argument : arguments) {
    const fs::path path(argument);
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      Walk(path, base, images);
    } else if (fs::exists(status)) {
      images.push_back({path, path.filename(), absl::OkStatus()});
    } else {
      images.push_back({path, path.filename(), absl::NotFoundError("no such file or folder")});
    }
  }
  return images;
}

absl::StatusOr<std::string> ReadImage(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    return absl::InvalidArgumentError("not a regular file");
  }
  const uintmax_t bytes = fs::file_size(path, error);
  if (error) return absl::PermissionDeniedError(absl::StrCat("cannot read: ", error.message()));
  if (bytes > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", bytes, " bytes; the limit is ", kMaxFileBytes));
  }
  std::ifstream file(path, std::ios::binary);
  std::string content(bytes, '\0');
  file.read(content.data(), static_cast<std::streamsize>(bytes));
  if (!file) return absl::PermissionDeniedError("cannot read the file: check its permissions");
  return content;
}

}  // namespace proad::client
