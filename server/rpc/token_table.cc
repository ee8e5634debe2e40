#include "server/rpc/token_table.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "model/files/sha256.h"
#include "model/spec/manifest.h"
#include "server/util/whole_file.h"

namespace proad::server {
namespace {

constexpr size_t kDigits = 64;
constexpr size_t kMaxFileBytes = size_t{4} << 20;
constexpr std::array kRoles = {Role::kDetect, Role::kTrain, Role::kAdmin};

std::optional<Role> ParseRole(absl::string_view text) {
  for (const Role role : kRoles) {
    if (text == NameOf(role)) return role;
  }
  return std::nullopt;
}

bool IsDigest(absl::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

// Returns "" and fills `entry`, or returns the problem of the line.
std::string ParseLine(absl::string_view line, TokenTable::Entry& entry) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() != 3) {
    return absl::StrCat(words.size(), " words; NAME ROLE SHA256 is expected");
  }
  // Messages do not quote the words: one may be a token in the wrong place.
  entry.name = std::string(words[0]);
  if (!model::IsValidName(entry.name)) {
    return "the name is not 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit";
  }
  const std::optional<Role> role = ParseRole(words[1]);
  if (!role) return "the role is not one of detect, train, admin";
  entry.role = *role;
  if (!IsDigest(words[2])) {
    return "the third word is not a SHA-256 of 64 lower-case hexadecimal digits; the file must not "
           "hold the token itself";
  }
  entry.sha256 = std::string(words[2]);
  return "";
}

}  // namespace

absl::string_view NameOf(Role role) {
  switch (role) {
    case Role::kDetect:
      return "detect";
    case Role::kTrain:
      return "train";
    case Role::kAdmin:
      return "admin";
    case Role::kNone:
      return "none";
    case Role::kNobody:
      break;
  }
  return "nobody";
}

absl::StatusOr<TokenTable> TokenTable::Parse(absl::string_view text, const std::string& source) {
  TokenTable table;
  std::set<std::string> digests;
  int number = 0;
  const auto invalid = [&](absl::string_view problem) {
    return absl::InvalidArgumentError(absl::StrCat(source, ":", number, ": ", problem));
  };
  for (const absl::string_view whole : absl::StrSplit(text, '\n')) {
    ++number;
    const absl::string_view line = absl::StripAsciiWhitespace(whole);
    if (line.empty() || line.front() == '#') continue;
    Entry entry;
    if (const std::string problem = ParseLine(line, entry); !problem.empty()) {
      return invalid(problem);
    }
    if (!digests.insert(entry.sha256).second) {
      return invalid("a line above has the same token");
    }
    if (table.entries_.size() == kMaxEntries) {
      return invalid(absl::StrCat("more than ", kMaxEntries, " entries"));
    }
    table.entries_.push_back(std::move(entry));
  }
  if (table.entries_.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(source,
                     ": has no entry, so no client could call; \"proad token new\" "
                     "makes one"));
  }
  return table;
}

absl::StatusOr<TokenTable> TokenTable::Read(const std::filesystem::path& path) {
  const absl::StatusOr<std::string> text = ReadWholeFile(path, kMaxFileBytes);
  if (!text.ok()) return text.status();
  return Parse(*text, path.string());
}

const TokenTable::Entry* TokenTable::FindDigest(absl::string_view sha256) const {
  const Entry* found = nullptr;
  if (sha256.size() != kDigits) return found;
  for (const Entry& entry : entries_) {
    const bool equal = CRYPTO_memcmp(entry.sha256.data(), sha256.data(), kDigits) == 0;
    found = equal ? &entry : found;
  }
  return found;
}

std::string TokenTable::DigestOf(absl::string_view token) {
  return model::Sha256Hex(std::string(token));
}

}  // namespace proad::server
