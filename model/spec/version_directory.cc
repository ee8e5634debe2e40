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
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/sha256.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr char kStagingPrefix[] = ".staging-";  // never a valid name, so never listed
constexpr char kUsedPrefix[] = ".used-";        // a marker: ".used-7" for number 7
constexpr int kUntouchedSeconds = 24 * 60 * 60;

[[noreturn]] void RefuseExisting(const fs::path& directory) {
  throw InvalidInput("version", "ALREADY_EXISTS",
                     directory.string() +
                         " already exists; a published version never changes, so choose another "
                         "name for this one");
}

bool Exists(const fs::path& path) {
  struct stat status = {};
  return lstat(path.c_str(), &status) == 0;
}

// A new empty directory that this process holds (flock) until it is destroyed, which also removes
// the directory with what is in it unless it was published.
class Staging {
 public:
  explicit Staging(const fs::path& parent) {
    do {
      Close();
      path_ = parent / UniqueName(kStagingPrefix);
      if (mkdir(path_.c_str(), 0777) != 0) throw FileError(path_, "create", errno);
      fd_ = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (fd_ >= 0) flock(fd_, LOCK_EX);  // what it tells RemoveStale is all it is for: may fail
      // Between mkdir and flock a RemoveStale may have taken it for a leftover.
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
      // Not known to this file system. The plain call never replaces a directory that has something
      // in it.
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

// The model's directory, made when absent; taken away again when it is still empty and nothing was
// published.
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

// The number that a version's name is; 0 when the name is not a number.
int64_t NumberOf(std::string_view name) {
  int64_t number = 0;
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data(), end, number);
  return error == std::errc() && rest == end && number < INT64_MAX ? std::max<int64_t>(number, 0)
                                                                   : 0;
}

// The numbers of the markers in `folder`; none when it does not exist.
std::vector<int64_t> MarkedNumbers(const fs::path& folder) {
  std::vector<int64_t> numbers;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  if (error == std::errc::no_such_file_or_directory) return numbers;
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!name.starts_with(kUsedPrefix)) continue;
    numbers.push_back(NumberOf(std::string_view(name).substr(sizeof(kUsedPrefix) - 1)));
  }
  if (error) throw FileError(folder, "list", error.value());
  return numbers;
}

// The highest number that a marker in `folder` records; 0: none.
int64_t HighestUsed(const fs::path& folder) {
  int64_t highest = 0;
  for (const int64_t number : MarkedNumbers(folder)) highest = std::max(highest, number);
  return highest;
}

fs::path MarkerOf(const fs::path& folder, int64_t number) {
  return folder / (kUsedPrefix + std::to_string(number));
}

// Creates the marker of a number and flushes it. Returns whether it was absent. Markers need no
// lock: each is one empty file, and only those below another one are removed.
bool Mark(const fs::path& folder, int64_t number) {
  const fs::path marker = MarkerOf(folder, number);
  const int fd = open(marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 && errno != EEXIST) throw FileError(marker, "create", errno);
  if (fd >= 0) close(fd);
  FlushToDisk(folder);
  return fd >= 0;
}

// Removes the markers below `number`, which has one. What stays does no harm.
void RemoveLowerMarkers(const fs::path& folder, int64_t number) {
  for (const int64_t lower : MarkedNumbers(folder)) {
    std::error_code ignored;
    if (lower < number) fs::remove(MarkerOf(folder, lower), ignored);
  }
}

[[noreturn]] void RefuseUsed(const fs::path& directory, int64_t highest) {
  throw InvalidInput("version", "ALREADY_EXISTS",
                     directory.string() + ": version numbers up to " + std::to_string(highest) +
                         " have been used, and a number is never used twice; choose a higher one");
}

// The number of a version that is being published, which nothing else may take from now on.
// Releases it on destruction unless Keep was called.
class NumberClaim {
 public:
  NumberClaim(const fs::path& folder, const fs::path& directory)
      : folder_(folder), number_(NumberOf(directory.filename().string())) {
    if (number_ == 0) return;
    if (const int64_t highest = HighestUsed(folder_); number_ <= highest) {
      RefuseUsed(directory, highest);
    }
    if (!Mark(folder_, number_)) RefuseUsed(directory, number_);
    held_ = true;
  }
  ~NumberClaim() {
    std::error_code ignored;
    if (held_) fs::remove(MarkerOf(folder_, number_), ignored);
  }
  NumberClaim(const NumberClaim&) = delete;
  NumberClaim& operator=(const NumberClaim&) = delete;

  void Keep() {
    if (held_) RemoveLowerMarkers(folder_, number_);
    held_ = false;
  }

 private:
  const fs::path folder_;
  const int64_t number_;  // 0: the version's name is not a number
  bool held_ = false;
};

// Size and digest of each file, each flushed to the disk.
std::map<std::string, FileDigest> Seal(const fs::path& staging) {
  std::map<std::string, FileDigest> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(staging)) {
    const std::string name = entry.path().filename();
    if (!entry.is_regular_file() || entry.is_symlink() || name == kManifestFile) {
      throw InvalidInput(
          "files", "MANIFEST_INVALID",
          "\"" + name + "\" cannot be part of a version: only plain files can, and none named " +
              kManifestFile);
    }
    FlushToDisk(entry.path());
    files[name] = {Sha256File(entry.path()), static_cast<int64_t>(entry.file_size())};
  }
  return files;
}

// Whether no living process holds the staging directory.
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

// Names in `parent` for which `wanted` holds; none when it does not exist.
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
  // "a/b/" names the same as "a/b".
  const fs::path directory = path.has_filename() ? path : path.parent_path();
  const fs::path folder = directory.has_parent_path() ? directory.parent_path() : fs::path(".");
  // Checked before the work, to fail early; Publish and the claim decide.
  if (Exists(directory)) RefuseExisting(directory);
  if (const int64_t number = NumberOf(directory.filename().string()), highest = HighestUsed(folder);
      number != 0 && number <= highest) {
    RefuseUsed(directory, highest);
  }
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
  NumberClaim claim(folder, directory);
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
  if (const int64_t number = NumberOf(directory.filename().string()); number != 0) {
    // First, so that a crash in between does not free the number.
    if (number > HighestUsed(folder)) Mark(folder, number);
    RemoveLowerMarkers(folder, HighestUsed(folder));
  }
  const fs::path hidden = folder / UniqueName(kStagingPrefix);
  if (rename(directory.c_str(), hidden.c_str()) != 0) throw FileError(directory, "remove", errno);
  FlushToDisk(folder);
  fs::remove_all(hidden, error);  // what stays is a leftover
  return bytes;
}

std::vector<std::string> ListNames(const fs::path& parent) {
  return DirectoriesIn(parent, [](const std::string& name) { return IsValidName(name); });
}

std::string NextVersion(const fs::path& model_directory) {
  int64_t highest = HighestUsed(model_directory);
  for (const std::string& name : ListNames(model_directory)) {
    highest = std::max(highest, NumberOf(name));
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
