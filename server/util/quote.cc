#include "server/util/quote.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace proad::server {

std::string Quote(absl::string_view text) {
  constexpr size_t kMaxBytes = 80;
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kMaxBytes)),
                      text.size() > kMaxBytes ? "..." : "", "\"");
}

}  // namespace proad::server
