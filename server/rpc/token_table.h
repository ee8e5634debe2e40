// Who may call: names, roles and the digests of tokens, as a file has them.
//
//   # NAME ROLE SHA256, a line each; blank lines and lines that begin with # are skipped
//   line-4 detect 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// The file never holds a token. A name may have several lines, so that a new token can be handed
// out before the old one goes. Tokens are random ("proad token new"): a digest without salt tells
// nothing about them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace proad::server {

// What a caller may do; each role includes those before it. Nobody has the last one.
enum class Role { kNone, kDetect, kTrain, kAdmin, kNobody };

// "none", "detect", "train", "admin", "nobody".
absl::string_view NameOf(Role role);

// Thread-safety: does not change after it was made.
class TokenTable {
 public:
  // Longest token that is looked at, in bytes.
  static constexpr size_t kMaxToken = 512;
  static constexpr size_t kMaxEntries = 10'000;

  struct Entry {
    std::string name;
    Role role = Role::kNone;
    std::string sha256;  // of the token, 64 lower-case hexadecimal digits
  };

  // INVALID_ARGUMENT, "source:line: ", for a line that is no entry, a token that is there twice,
  // and a table without entries: nobody could call. Messages never quote what may be a token.
  static absl::StatusOr<TokenTable> Parse(absl::string_view text, const std::string& source);

  // As Parse; NOT_FOUND, with the path, for a file that cannot be read.
  static absl::StatusOr<TokenTable> Read(const std::filesystem::path& path);

  // The entry of a token; null when there is none. Takes the same time wherever in the table it is
  // and however much of it agrees. The entry lives as long as the table.
  const Entry* Find(absl::string_view token) const { return FindDigest(DigestOf(token)); }

  // The same by DigestOf(token).
  const Entry* FindDigest(absl::string_view sha256) const;

  static std::string DigestOf(absl::string_view token);

  size_t size() const { return entries_.size(); }

 private:
  TokenTable() = default;

  std::vector<Entry> entries_;
};

}  // namespace proad::server
