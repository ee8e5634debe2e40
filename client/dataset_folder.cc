#include "client/dataset_folder.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/image_names.h"

namespace proad::client {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestPath = 512;     // bytes; UploadFile.path in training.proto
constexpr size_t kLongestIdPrefix = 40;  // characters; an id has at most 64
constexpr size_t kIdDigestBytes = 6;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void Add(const char* data, size_t bytes) { EVP_DigestUpdate(context_.get(), data, bytes); }
  void Add(const std::string& text) { Add(text.data(), text.size()); }
  std::string Finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int bytes = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &bytes);
    return std::string(reinterpret_cast<const char*>(digest.data()), bytes);
  }

 private:
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

bool IsSent(const fs::path& path) {
  const std::string extension = absl::AsciiStrToLower(path.extension().string());
  return HasImageExtension(path) || extension == ".csv" || extension == ".json";
}

// RFC 3629: no surrogates, no overlong sequences, nothing above U+10FFFF.
bool IsUtf8(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) {
      return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
    };
    const uint8_t first = byte(at);
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length > 1 && (first < 0xc2 || first > 0xf4)) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xc0) != 0x80) return false;
    }
    const uint8_t second = byte(at + 1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
      return false;
    }
    at += length;
  }
  return true;
}

absl::Status CheckPath(const std::string& path) {
  if (!IsUtf8(path)) {
    return absl::InvalidArgumentError(absl::StrCat("the name of ", absl::CHexEscape(path),
                                                   " is not UTF-8: rename it and try again"));
  }
  if (path.size() <= kLongestPath) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the path ", path, " has ", path.size(), " bytes; the limit is ", kLongestPath));
}

// Fills in the paths of the files to send and of those that are left out; reads no content.
absl::Status Walk(const fs::path& folder, FolderListing& listing) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    const std::string path = entry->path().lexically_relative(folder).generic_string();
    std::error_code vanished;  // ignored: an entry can disappear during the walk
    const bool hidden = entry->path().filename().string().starts_with(".");
    if (entry->is_directory(vanished)) {
      if (!hidden && !entry->is_symlink(vanished)) continue;
      entry.disable_recursion_pending();
      listing.left_out.push_back(path + "/");
    } else if (hidden || !entry->is_regular_file(vanished) || !IsSent(entry->path())) {
      listing.left_out.push_back(path);
    } else if (absl::Status named = CheckPath(path); !named.ok()) {
      return named;
    } else {
      listing.files.push_back({path, 0, ""});
    }
  }
  if (!error) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("cannot read everything below ", folder.string(), ": ", error.message()));
}

// Reads the file and fills in its size and digest.
absl::Status ReadContent(const fs::path& path, const std::stop_token& stop, FolderFile& file) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot read ", path.string(), ": check its permissions"));
  }
  Sha256 digest;
  std::vector<char> buffer(size_t{1} << 18);
  while (stream) {
    if (stop.stop_requested()) return absl::CancelledError("stopped while reading the folder");
    stream.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    const auto got = static_cast<size_t>(stream.gcount());
    digest.Add(buffer.data(), got);
    file.bytes += got;
  }
  if (stream.bad()) return absl::PermissionDeniedError(absl::StrCat("cannot read ", path.string()));
  file.sha256 = digest.Finish();
  return absl::OkStatus();
}

// Converts a folder's name to the characters of a dataset id: each run of other characters becomes
// one "-".
std::string IdPrefix(const std::string& name) {
  std::string prefix;
  bool replaced = false;
  for (const char letter : name) {
    const auto lower = absl::ascii_tolower(static_cast<unsigned char>(letter));
    const bool plain = absl::ascii_isalnum(static_cast<unsigned char>(lower));
    const bool allowed = plain || lower == '-' || lower == '_' || lower == '.';
    if (prefix.empty() && !plain) continue;  // an id starts with a letter or digit
    if (allowed || !replaced) prefix.push_back(allowed ? lower : '-');
    replaced = !allowed;
  }
  prefix = prefix.substr(0, kLongestIdPrefix);
  while (prefix.ends_with('-')) prefix.pop_back();
  return prefix.empty() ? "dataset" : prefix;
}

}  // namespace

absl::StatusOr<FolderListing> ListFolder(const fs::path& folder, const std::stop_token& stop) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat(folder.string(), " is not a folder on this machine"));
  }
  FolderListing listing;
  if (absl::Status walked = Walk(folder, listing); !walked.ok()) return walked;
  if (listing.files.empty()) {
    return absl::NotFoundError(absl::StrCat("nothing to send in ", folder.string(),
                                            ": it holds no list (.csv, .json) and no image (",
                                            ImageExtensions(), ")"));
  }
  // UploadDataset requires the order of the paths' bytes, in which "a-b/1" comes before "a/1". The
  // walk goes folder by folder.
  std::sort(listing.files.begin(), listing.files.end(),
            [](const FolderFile& a, const FolderFile& b) { return a.path < b.path; });
  std::sort(listing.left_out.begin(), listing.left_out.end());
  for (FolderFile& file : listing.files) {
    if (absl::Status read = ReadContent(folder / file.path, stop, file); !read.ok()) return read;
    listing.bytes += file.bytes;
  }
  return listing;
}

std::string DatasetIdOf(const fs::path& folder, const FolderListing& listing) {
  std::error_code error;
  const std::string prefix = IdPrefix(fs::canonical(folder, error).filename().string());
  Sha256 digest;
  for (const FolderFile& file : listing.files) {
    digest.Add(file.path);
    digest.Add("\0", 1);  // separator: no path contains NUL
    digest.Add(file.sha256);
  }
  return absl::StrCat(prefix, "-",
                      absl::BytesToHexString(digest.Finish().substr(0, kIdDigestBytes)));
}

}  // namespace proad::client
