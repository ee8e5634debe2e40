#include "server/serving/version_pointer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "model/spec/manifest.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

constexpr absl::string_view kFormat = "format 2";
constexpr absl::string_view kFormatKey = "format ";
// Two names of at most 64 bytes, two hashes of 64, and the keys.
constexpr size_t kMaxBytes = 512;
constexpr size_t kHashDigits = 64;

bool IsHash(absl::string_view text) {
  return text.size() == kHashDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::Status Damaged(absl::string_view source, absl::string_view text) {
  return absl::DataLossError(absl::StrCat(
      source, ": ", Quote(text),
      " is not a pointer; expected the lines \"format 2\", \"active VERSION HASH\" and "
      "\"before VERSION HASH\", of which the last two may be absent"));
}

std::string Line(absl::string_view key, const PointedVersion& pointed) {
  if (pointed.version.empty()) return "";
  return absl::StrCat(key, " ", pointed.version, pointed.hash.empty() ? "" : " ", pointed.hash,
                      "\n");
}

absl::StatusOr<VersionPointer> ParseFormat1(absl::string_view text, absl::string_view source) {
  std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripTrailingAsciiWhitespace(text), '\n');
  VersionPointer pointer;
  const absl::string_view active = absl::StripAsciiWhitespace(lines[0]);
  if (!active.empty() && !model::IsValidName(std::string(active))) return Damaged(source, text);
  pointer.active.version = std::string(active);
  if (lines.size() == 1) return pointer;
  absl::string_view before = lines[1];
  if (lines.size() > 2 || !absl::ConsumePrefix(&before, "before ") ||
      !model::IsValidName(std::string(before))) {
    return Damaged(source, text);
  }
  pointer.before.version = std::string(before);
  return pointer;
}

}  // namespace

bool PointedVersion::Matches(const PointedVersion& other) const {
  return version == other.version && (hash == other.hash || hash.empty() || other.hash.empty());
}

std::string VersionPointer::ToText() const {
  return absl::StrCat(kFormat, "\n", Line(activated ? "active" : "start", active),
                      Line("before", before));
}

absl::StatusOr<VersionPointer> VersionPointer::Parse(absl::string_view text,
                                                     absl::string_view source) {
  if (text.size() > kMaxBytes) return Damaged(source, text);
  if (!absl::StartsWith(text, kFormatKey)) return ParseFormat1(text, source);
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  // The last line ends as well, so a file that was cut is noticed.
  if (lines.front() != kFormat || !lines.back().empty()) return Damaged(source, text);
  lines.pop_back();
  VersionPointer pointer;
  for (auto line = lines.begin() + 1; line != lines.end(); ++line) {
    const std::vector<std::string> words = absl::StrSplit(*line, ' ');
    if (words.size() < 2 || words.size() > 3 || !model::IsValidName(words[1]) ||
        (words.size() == 3 && !IsHash(words[2]))) {
      return Damaged(source, text);
    }
    const bool is_before = words[0] == "before";
    if (!is_before && words[0] != "active" && words[0] != "start") return Damaged(source, text);
    PointedVersion& pointed = is_before ? pointer.before : pointer.active;
    if (!pointed.version.empty()) return Damaged(source, text);
    pointed.version = words[1];
    if (words.size() == 3) pointed.hash = words[2];
    if (words[0] == "start") pointer.activated = false;
  }
  return pointer;
}

absl::StatusOr<VersionPointer> VersionPointer::Read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const int error = errno;
    const std::string message = absl::StrCat(file.string(), ": ", std::strerror(error));
    return error == ENOENT || error == ENOTDIR ? absl::NotFoundError(message)
                                               : absl::InternalError(message);
  }
  char bytes[kMaxBytes + 1] = {};
  in.read(bytes, sizeof(bytes));
  if (in.bad()) return absl::InternalError(absl::StrCat(file.string(), ": cannot be read"));
  return Parse(absl::string_view(bytes, static_cast<size_t>(in.gcount())), file.string());
}

}  // namespace proad::server
