#include "client/cli/images.h"

#include <algorithm>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/image_names.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

// Larger than any camera image, and below protobuf's limit of 2 GiB. The server has its own limit.
constexpr uintmax_t kMaxFileBytes = uintmax_t{1} << 30;

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

// Searches folders for images.
class FolderSearch {
 public:
  // Paths of images are relative to `base`; empty for the working directory.
  FolderSearch(const fs::path& base, ImageList& list) : base_(base), list_(list) {}

  // Adds the images below `folder`, or an error.
  void Run(const fs::path& folder) {
    found_.clear();
    failed_ = false;
    Walk(folder);
    if (found_.empty() && !failed_) {
      AddError(folder, absl::NotFoundError(absl::StrCat("no images in this folder: it holds no ",
                                                        ImageExtensions())));
    }
    std::sort(found_.begin(), found_.end());
    for (const fs::path& path : found_) {
      const fs::path normal = path.lexically_normal();
      list_.images.push_back(
          {path, base_.empty() ? normal : normal.lexically_relative(base_), absl::OkStatus()});
    }
  }

 private:
  void Walk(const fs::path& folder) {
    std::error_code error;
    fs::directory_iterator entry(folder, error);
    std::vector<fs::path> folders;
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      Visit(*entry, folders);
    }
    if (error) {
      failed_ = true;
      AddError(folder, absl::PermissionDeniedError(
                           absl::StrCat("cannot read the folder: ", error.message())));
    }
    std::sort(folders.begin(), folders.end());
    for (const fs::path& below : folders) Walk(below);
  }

  void Visit(const fs::directory_entry& entry, std::vector<fs::path>& folders) {
    std::error_code ignored;  // an entry can disappear during the search
    const bool is_folder = entry.is_directory(ignored);
    if (const auto reason = ReasonToSkip(entry.path(), is_folder)) {
      list_.skipped.Add(*reason, entry.path(), is_folder);
    } else if (is_folder && entry.is_symlink(ignored)) {
      list_.skipped.Add(SkipReason::kLinkedFolder, entry.path(), true);
    } else if (is_folder) {
      folders.push_back(entry.path());
    } else if (entry.is_regular_file(ignored)) {
      found_.push_back(entry.path());
    } else {
      list_.skipped.Add(SkipReason::kNotAFile, entry.path(), false);
    }
  }

  void AddError(const fs::path& folder, const absl::Status& error) {
    list_.images.push_back({folder, folder.filename(), error});
  }

  const fs::path& base_;
  ImageList& list_;
  std::vector<fs::path> found_;
  bool failed_ = false;
};

}  // namespace

ImageList CollectImages(const std::vector<std::string>& arguments) {
  std::vector<fs::path> folders;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (fs::is_directory(argument, error)) folders.emplace_back(argument);
  }
  const fs::path base = folders.empty() ? fs::path() : CommonFolder(folders);

  ImageList list;
  FolderSearch search(base, list);
  for (const std::string& argument : arguments) {
    const fs::path path(argument);
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (fs::is_directory(status)) {
      search.Run(path);
    } else if (!fs::exists(status)) {
      list.images.push_back({path, path.filename(), absl::NotFoundError("no such file or folder")});
    } else if (IsOwnOutput(path)) {
      list.skipped.Add(SkipReason::kOwnOutput, path, false);
    } else {
      list.images.push_back({path, path.filename(), absl::OkStatus()});
    }
  }
  return list;
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
