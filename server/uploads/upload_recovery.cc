#include "server/uploads/upload_recovery.h"

#include <exception>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "model/files/sha256.h"
#include "server/util/file_errors.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

bool IsComplete(const fs::path& path, const UploadedFile& file) {
  std::error_code error;
  if (fs::is_symlink(path, error)) return false;
  if (static_cast<int64_t>(fs::file_size(path, error)) != file.bytes || error) return false;
  try {
    return model::Sha256File(path) == file.sha256;
  } catch (const std::exception&) {
    return false;  // a file that cannot be read is sent again
  }
}

// Returns the byte at which the journal continues.
int64_t DropIncomplete(const fs::path& files, UploadRecord& record) {
  size_t complete = record.flushed;
  while (complete < record.files.size() &&
         IsComplete(files / record.files[complete].path, record.files[complete])) {
    ++complete;
  }
  if (complete == record.files.size()) return record.end;
  record.files.resize(complete);
  record.ends.resize(complete);
  return complete == 0 ? 0 : record.ends.back();
}

// A stream that ends between the rename of a file and its line in the journal leaves such files,
// and so does a power cut.
absl::Status RemoveUnknown(const fs::path& files, const UploadRecord& record) {
  std::set<std::string> known;
  for (const UploadedFile& file : record.files) known.insert(file.path);
  std::vector<fs::path> unknown, folders;
  std::error_code error;
  for (fs::recursive_directory_iterator it(files, error), end; !error && it != end;
       it.increment(error)) {
    if (it->symlink_status().type() == fs::file_type::directory) {
      folders.push_back(it->path());
    } else if (!known.contains(it->path().lexically_relative(files).string())) {
      unknown.push_back(it->path());
    }
  }
  for (const fs::path& path : unknown) {
    if (!error) fs::remove(path, error);
  }
  // An empty folder would count as a category. remove() leaves folders that are not empty.
  std::error_code ignored;
  for (auto it = folders.rbegin(); it != folders.rend(); ++it) fs::remove(*it, ignored);
  return error ? FileFailed(files, "remove unknown files of", error.value()) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<int64_t> RecoverUpload(const fs::path& files, UploadRecord& record) {
  const int64_t end = DropIncomplete(files, record);
  if (absl::Status status = RemoveUnknown(files, record); !status.ok()) return status;
  return end;
}

}  // namespace proad::server
