#include "server/util/quote.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace proad::server {

std::string Quote(absl::string_view text) {
  constexpr size_t kMaxBytes = 80;
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxBytes)),
                      text.size() > kMaxBytes ? "..." : "", "\"");
}

std::string Enumerate(const std::vector<std::string>& names) {
  constexpr size_t kMaxNames = 20;
  if (names.empty()) return "none";
  const auto end = names.begin() + static_cast<ptrdiff_t>(std::min(names.size(), kMaxNames));
  std::string text = absl::StrJoin(names.begin(), end, ", ");
  if (names.size() > kMaxNames) absl::StrAppend(&text, " and ", names.size() - kMaxNames, " more");
  return text;
}

}  // namespace proad::server
