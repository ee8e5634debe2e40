#include "server/util/file_watch.h"

#include <sys/stat.h>

#include <utility>

namespace proad::server {
namespace {

bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

}  // namespace

bool FileWatch::Stamp::operator==(const Stamp& other) const {
  return device == other.device && inode == other.inode && bytes == other.bytes &&
         Same(modified, other.modified) && Same(changed, other.changed);
}

FileWatch::FileWatch(std::vector<std::filesystem::path> files)
    : files_(std::move(files)), seen_(Check()), reported_(seen_) {}

bool FileWatch::Replaced() {
  std::vector<Stamp> now = Check();
  const bool settled = now == seen_;
  seen_ = std::move(now);
  if (!settled || seen_ == reported_) return false;
  reported_ = seen_;
  return true;
}

std::vector<FileWatch::Stamp> FileWatch::Check() const {
  std::vector<Stamp> stamps;
  for (const std::filesystem::path& path : files_) {
    struct stat found = {};
    Stamp& stamp = stamps.emplace_back();  // all zero where there is no file
    if (stat(path.c_str(), &found) != 0) continue;
    stamp = {.device = found.st_dev,
             .inode = found.st_ino,
             .bytes = found.st_size,
             .modified = found.st_mtim,
             .changed = found.st_ctim};
  }
  return stamps;
}

}  // namespace proad::server
