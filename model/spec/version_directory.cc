#include "model/spec/version_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/version_numbers.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr char kStagingPrefix[] = ".staging-";  // never a valid name, so never listed
constexpr int kUntouchedSeconds = 24 * 60 * 60;

[[noreturn]] void RefuseExisting(const fs::path& directory) {
  throw VersionExists(directory.string() +
                      " already exists, and a published version never changes; choose another "
                      "version");
}

bool Exists(const fs::path& path) {
  struct stat status = {};
  return lstat(path.c_str(), &status) == 0;
}

// A new empty directory, locked with flock while the object exists. The destructor removes the
// directory with its contents unless it was published.
class Staging {
 public:
  explicit Staging(const fs::path& parent) {
    do {
      Close();
      path_ = parent / UniqueName(kStagingPrefix);
      if (mkdir(path_.c_str(), 0777) != 0) throw FileError(path_, "create", errno);
      fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd_ >= 0) flock(fd_, LOCK_EX);  // for RemoveStale only, so it may fail
      // RemoveStale may have removed the directory between mkdir and flock.
    } while (!Exists(path_));
  }

  ~Staging() {
    std::error_code ignored;
    if (!published_) fs::remove_all(path_, ignored);
    Close();
  }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  const fs::path& path() const { return path_; }

  void Publish(const fs::path& directory) {
    int result = renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, directory.c_str(), RENAME_NOREPLACE);
    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
      // The file system does not support RENAME_NOREPLACE. rename never replaces a directory that
      // is not empty.
      if (Exists(directory)) RefuseExisting(directory);
      result = rename(path_.c_str(), directory.c_str());
    }
    if (result != 0) {
      const int error = errno;
      if (error == EEXIST || error == ENOTEMPTY || error == ENOTDIR) RefuseExisting(directory);
      throw FileError(directory, "publish", error);
    }
    published_ = true;
  }

 private:
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  fs::path path_;
  int fd_ = -1;
  bool published_ = false;
};

// The directory of the model, created if needed. The destructor removes a created directory unless
// a version was published in it.
class Parent {
 public:
  explicit Parent(const fs::path& path) : path_(path) {
    made_ = mkdir(path.c_str(), 0777) == 0;
    if (!made_ && errno != EEXIST) throw FileError(path, "create", errno);
  }
  ~Parent() {
    if (made_) rmdir(path_.c_str());
  }
  Parent(const Parent&) = delete;
  Parent& operator=(const Parent&) = delete;

  void Keep() {
    if (made_) FlushToDisk(path_.has_parent_path() ? path_.parent_path() : ".");
    made_ = false;
  }

 private:
  const fs::path path_;
  bool made_;
};

// Flushes each file to the disk; returns sizes and digests.
std::map<std::string, FileDigest> Seal(const fs::path& staging) {
  std::map<std::string, FileDigest> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(staging)) {
    const std::string name = entry.path().filename();
    if (!entry.is_regular_file() || entry.is_symlink() || name == kManifestFile) {
      throw InvalidInput(
          "files", "MANIFEST_INVALID",
          "\"" + name +
              "\" cannot be part of a version; only regular files are allowed, and none named " +
              kManifestFile);
    }
    FlushToDisk(entry.path());
    files[name] = {Sha256File(entry.path()), static_cast<int64_t>(entry.file_size())};
  }
  return files;
}

// Whether no process has locked the staging directory.
bool IsLeftover(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  bool leftover = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!leftover && errno != EWOULDBLOCK) {
    struct stat status = {};
    leftover = fstat(fd, &status) == 0 && status.st_mtime + kUntouchedSeconds < time(nullptr);
  }
  close(fd);
  return leftover;
}

// The names of the directories in `parent` that `wanted` accepts; none if `parent` does not exist.
template <typename Wanted>
std::vector<std::string> DirectoriesIn(const fs::path& parent, const Wanted& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(parent, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename();
    std::error_code gone;
    if (wanted(name) && entry->is_directory(gone)) names.push_back(std::move(name));
  }
  if (error) throw FileError(parent, "list", error.value());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Manifest WriteVersion(const fs::path& path, Manifest manifest,
                      const std::function<void(const fs::path& staging)>& fill) {
  // "a/b/" is the same directory as "a/b".
  const fs::path directory = path.has_filename() ? path : path.parent_path();
  const fs::path folder = directory.has_parent_path() ? directory.parent_path() : fs::path(".");
  // Checked before the work, to fail early; Publish and the claim decide.
  if (Exists(directory)) RefuseExisting(directory);
  CheckNumberUnused(directory);
  Parent parent(folder);
  Staging staging(folder);
  try {
    fill(staging.path());
    manifest.files = Seal(staging.path());
  } catch (const fs::filesystem_error& error) {
    throw FileError(directory, "write", error.code().value());
  }
  Validate(manifest);
  const std::string json = ToJson(manifest);
  AtomicFile file(staging.path() / kManifestFile);
  file.Write(json);
  file.Commit();  // flushes the staging directory's entries as well
  if (Exists(directory)) RefuseExisting(directory);
  NumberClaim claim(directory);
  staging.Publish(directory);
  claim.Keep();
  parent.Keep();
  FlushToDisk(folder);
  manifest.hash = Sha256Hex(json);
  return manifest;
}

uint64_t RemoveVersion(const fs::path& directory) {
  uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    std::error_code gone;
    if (entry.is_regular_file(gone)) bytes += entry.file_size(gone);
  }
  const fs::path folder = directory.parent_path();
  RecordNumber(directory);  // first, so that a crash in between does not free the number
  const fs::path hidden = folder / UniqueName(kStagingPrefix);
  if (rename(directory.c_str(), hidden.c_str()) != 0) throw FileError(directory, "remove", errno);
  FlushToDisk(folder);
  fs::remove_all(hidden, error);  // RemoveStale deletes what remains
  return bytes;
}

std::vector<std::string> ListNames(const fs::path& parent) {
  return DirectoriesIn(parent, [](const std::string& name) { return IsValidName(name); });
}

std::string NextVersion(const fs::path& model_directory) {
  int64_t highest = HighestUsedNumber(model_directory);
  for (const std::string& name : ListNames(model_directory)) {
    highest = std::max(highest, NumberOfVersion(name));
  }
  return std::to_string(highest + 1);
}

int RemoveStale(const fs::path& parent) {
  int removed = 0;
  for (const std::string& name : DirectoriesIn(
           parent, [](const std::string& name) { return name.starts_with(kStagingPrefix); })) {
    const fs::path path = parent / name;
    if (!IsLeftover(path)) continue;
    std::error_code error;
    fs::remove_all(path, error);
    if (error) throw FileError(path, "remove", error.value());
    ++removed;
  }
  return removed;
}

}  // namespace proad::model
