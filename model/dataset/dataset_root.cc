#include "model/dataset/dataset_root.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"
#include "model/picture/image_file.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

bool Contains(const std::vector<std::string>& sorted, std::string_view name) {
  return std::binary_search(sorted.begin(), sorted.end(), name, std::less<>());
}

fs::path Canonical(const fs::path& path, const std::string& what) {
  std::error_code error;
  fs::path canonical = fs::canonical(path, error);
  if (!error) return canonical;
  if (error.value() == ENOENT || error.value() == ENOTDIR || error.value() == ELOOP) {
    RefuseDataset("DATASET_FILE_MISSING", what + ": there is no file " + Quote(path.string()));
  }
  throw FileError(path, "look up", error.value());
}

}  // namespace

void RefuseDataset(const std::string& reason, const std::string& message) {
  throw InvalidInput("dataset", reason, message);
}

std::string JoinNames(std::string_view folder, std::string_view name) {
  if (folder.empty()) return std::string(name);
  return std::string(folder) + "/" + std::string(name);
}

bool DatasetRoot::Listing::HasFolder(std::string_view name) const {
  return Contains(folders, name);
}

bool DatasetRoot::Listing::HasFile(std::string_view name) const { return Contains(files, name); }

bool DatasetRoot::Listing::HasImages() const {
  return std::any_of(files.begin(), files.end(), IsImageName);
}

DatasetRoot::DatasetRoot(const fs::path& path, size_t max_files)
    : path_(Canonical(path, "the dataset")), max_files_(max_files) {}

bool DatasetRoot::IsFolder(const std::string& name) const {
  std::error_code ignored;
  return fs::is_directory(path_ / name, ignored);
}

bool DatasetRoot::IsInside(const fs::path& canonical) const {
  return std::mismatch(path_.begin(), path_.end(), canonical.begin(), canonical.end()).first ==
         path_.end();
}

DatasetRoot::Listing DatasetRoot::List(const std::string& folder) {
  const fs::path directory = path_ / folder;
  if (!IsInside(Canonical(directory, "the dataset"))) {
    RefuseDataset("DATASET_LINK_OUTSIDE",
                  "the folder " + Quote(folder) + " is outside the dataset's folder");
  }
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  Listing listing;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const std::string whole_name = JoinNames(folder, name);
    std::error_code unreadable;  // a broken link, which is refused below unless it is skipped
    if (const auto reason = ReasonToSkip(name, entries->is_directory(unreadable))) {
      skipped_[*reason].insert(whole_name);
      continue;
    }
    Count(1);
    if (!IsUtf8(name))
      RefuseDataset("DATASET_NAME_NOT_UTF8", "the name " + Quote(whole_name) + " is not UTF-8");
    if (entries->is_symlink() && !IsInside(Canonical(entries->path(), "a link"))) {
      RefuseDataset("DATASET_LINK_OUTSIDE",
                    "the link " + Quote(whole_name) +
                        " leads outside the dataset's folder; copy the file into it");
    }
    const fs::file_type type = entries->status(error).type();
    if (error) break;
    if (type == fs::file_type::directory) {
      listing.folders.push_back(name);
    } else if (type == fs::file_type::regular) {
      listing.files.push_back(name);
    } else {
      RefuseDataset("DATASET_NOT_A_FILE",
                    Quote(whole_name) + " is a device, pipe or socket; remove it");
    }
  }
  if (error) throw FileError(directory, "list", error.value());
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

std::vector<std::string> DatasetRoot::ListImages(const std::string& folder) {
  Listing listing = List(folder);
  if (!listing.folders.empty()) {
    RefuseDataset("DATASET_LAYOUT", "the folder " +
                                        Quote(JoinNames(folder, listing.folders.front())) +
                                        " is one level too deep; images are expected in " +
                                        Quote(folder) + " itself");
  }
  std::erase_if(listing.files, [&](const std::string& name) {
    const bool ignored = !IsImageName(name);
    if (ignored) Ignore(JoinNames(folder, name));
    return ignored;
  });
  return std::move(listing.files);
}

fs::path DatasetRoot::Resolve(const std::string& name, const std::string& where) const {
  const fs::path relative(name);
  const bool climbs = std::find(relative.begin(), relative.end(), "..") != relative.end();
  if (name.empty() || relative.is_absolute() || climbs || name.find('\0') != std::string::npos) {
    RefuseDataset("DATASET_PATH_OUTSIDE", where + ": the path " + Quote(name) +
                                              " must be relative, below " + Quote(path_.string()) +
                                              ", without \"..\"");
  }
  fs::path canonical = Canonical(path_ / Normal(name), where);
  if (!IsInside(canonical)) {
    RefuseDataset("DATASET_LINK_OUTSIDE",
                  where + ": the path " + Quote(name) + " is outside the dataset's folder");
  }
  if (!fs::is_regular_file(canonical))
    RefuseDataset("DATASET_NOT_A_FILE", where + ": " + Quote(name) + " is not a file");
  return canonical;
}

std::string DatasetRoot::Normal(const std::string& name) {
  return fs::path(name).lexically_normal().generic_string();
}

fs::path DatasetRoot::PathOf(const std::string& name) const {
  fs::path canonical = Canonical(path_ / name, "the dataset");
  if (!IsInside(canonical)) {
    RefuseDataset("DATASET_LINK_OUTSIDE",
                  "the file " + Quote(name) + " is outside the dataset's folder");
  }
  return canonical;
}

std::string DatasetRoot::ReadList(const std::string& name, int64_t max_bytes) const {
  const std::vector<uint8_t> bytes = ReadFileUpTo(Resolve(name, "the dataset's list"), max_bytes);
  if (bytes.size() > static_cast<size_t>(max_bytes)) {
    RefuseDataset("DATASET_TOO_LARGE", Quote(name) + " is too large; a list may have at most " +
                                           std::to_string(max_bytes) + " bytes");
  }
  return std::string(bytes.begin(), bytes.end());
}

void DatasetRoot::Ignore(const std::string& name) { ignored_.push_back(name); }

void DatasetRoot::Count(size_t entries) {
  count_ += entries;
  if (count_ > max_files_) {
    RefuseDataset("DATASET_TOO_LARGE", "the dataset in " + Quote(path_.string()) +
                                           " has more than " + std::to_string(max_files_) +
                                           " files; split it by category");
  }
}

}  // namespace proad::model
