#include "server/uploads/upload_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "model/dataset/skipped_entries.h"
#include "model/files/text.h"
#include "server/uploads/upload_errors.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"

namespace proad::server {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPath = 512;
constexpr size_t kMaxPart = 255;  // the limit of common file systems

constexpr std::array kTextEndings = {".csv", ".json", ".md", ".txt"};  // lists and descriptions

bool HasKnownEnding(absl::string_view path) {
  const std::string lower = absl::AsciiStrToLower(path);
  return model::IsImageName(lower) ||
         std::any_of(kTextEndings.begin(), kTextEndings.end(),
                     [&](const char* ending) { return absl::EndsWith(lower, ending); });
}

// Returns "" for a valid path, otherwise the problem.
std::string ProblemOf(absl::string_view path) {
  if (path.empty() || path.size() > kMaxPath) {
    return absl::StrCat("has ", path.size(), " bytes; 1 to ", kMaxPath, " are expected");
  }
  if (path.find('\0') != absl::string_view::npos) return "holds a NUL";
  if (!model::IsUtf8(std::string(path))) return "is not UTF-8";
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty()) return "has an empty part; a path within the dataset is expected";
    if (part == "." || part == "..") return "leads elsewhere; \".\" and \"..\" are not accepted";
    if (part[0] == '.') return "has a part that begins with a dot, which no dataset reads";
    if (part.size() > kMaxPart) {
      return absl::StrCat("has a part of ", part.size(), " bytes; at most ", kMaxPart,
                          " are accepted");
    }
  }
  if (!HasKnownEnding(path)) {
    return absl::StrCat(
        "is of no type that is accepted: ", absl::StrJoin(model::ImageEndings(), ", "), ", ",
        absl::StrJoin(kTextEndings, ", "));
  }
  return "";
}

}  // namespace

absl::Status CheckUploadPath(absl::string_view path) {
  const std::string problem = ProblemOf(path);
  if (problem.empty()) return absl::OkStatus();
  return InvalidField(reason::kPathInvalid, "file.path", absl::StrCat(Quote(path), " ", problem));
}

absl::StatusOr<FileDescriptor> OpenUploadFolder(const fs::path& root, const std::string& path) {
  constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  FileDescriptor folder(open(root.c_str(), kFolder));
  if (!folder.ok()) return FileFailed(root, "open", errno);
  const fs::path relative = fs::path(path).parent_path();
  for (const fs::path& part : relative) {
    if (mkdirat(folder.get(), part.c_str(), 0777) != 0 && errno != EEXIST) {
      return FileFailed(root / relative, "create", errno);
    }
    FileDescriptor next(openat(folder.get(), part.c_str(), kFolder));
    if (!next.ok() && (errno == ENOTDIR || errno == ELOOP)) {
      return InvalidField(reason::kPathInvalid, "file.path",
                          absl::StrCat(Quote(path), " lies in ", Quote(part.string()),
                                       ", which is no folder of the dataset"));
    }
    if (!next.ok()) return FileFailed(root / relative, "open", errno);
    folder = std::move(next);
  }
  return folder;
}

}  // namespace proad::server
