// The clients that may call: names, roles and the digests of tokens, from a file.
//
//   # One line per token: NAME ROLE SHA256. Blank lines and lines that begin with # are skipped.
//   line-4 detect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// The file never holds a token. A name may have several lines, so that a new token works before the
// old one is removed. Tokens are random ("proad token new"), so a digest without salt does not
// reveal them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// The role of a client. Each role includes those before it. No client has kNobody.
enum class Role { kNone, kDetect, kTrain, kAdmin, kNobody };

// "none", "detect", "train", "admin", "nobody".
absl::string_view NameOf(Role role);

// Thread-safety: immutable, so all methods may be called from any thread.
class TokenTable {
 public:
  // Bytes of the longest token that is accepted.
  static constexpr size_t kMaxToken = 512;
  static constexpr size_t kMaxEntries = 10'000;

  struct Entry {
    std::string name;
    Role role = Role::kNone;
    std::string sha256;  // of the token, 64 lower-case hexadecimal digits
  };

  // INVALID_ARGUMENT for a line that is not an entry, a token that appears twice, and a table
  // without entries. The message begins with "source:line: " and never quotes a word of the file,
  // which may be a token.
  static absl::StatusOr<TokenTable> Parse(absl::string_view text, const std::string& source);

  // As Parse. NOT_FOUND, with the path, for a file that cannot be read.
  static absl::StatusOr<TokenTable> Read(const std::filesystem::path& path);

  // The entry of a token; null when there is none. Takes constant time: independent of the position
  // of the entry and of the number of equal digits. The entry lives as long as the table.
  const Entry* Find(absl::string_view token) const { return FindDigest(DigestOf(token)); }

  // Find, for a token with this digest.
  const Entry* FindDigest(absl::string_view sha256) const;

  static std::string DigestOf(absl::string_view token);

  size_t size() const { return entries_.size(); }

 private:
  TokenTable() = default;

  std::vector<Entry> entries_;
};

}  // namespace proad::server
