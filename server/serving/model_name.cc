#include "server/serving/model_name.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "model/spec/manifest.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

// Removes the digits at the start of `text` and returns them without leading zeros.
absl::string_view TakeNumber(absl::string_view& text) {
  size_t length = 0;
  while (length < text.size() && absl::ascii_isdigit(text[length])) ++length;
  absl::string_view number = text.substr(0, length);
  text.remove_prefix(length);
  while (number.size() > 1 && number.front() == '0') number.remove_prefix(1);
  return number;
}

}  // namespace

absl::StatusOr<ModelName> ModelName::Parse(absl::string_view text) {
  const size_t at = text.find('@');
  ModelName parsed;
  parsed.name = std::string(text.substr(0, at));
  if (at != absl::string_view::npos) parsed.version = std::string(text.substr(at + 1));
  if (!model::IsValidName(parsed.name) ||
      (at != absl::string_view::npos && !model::IsValidName(parsed.version))) {
    return MakeError(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("model: ", Quote(text),
                     " is not a model name; expected \"name\" or \"name@version\", each 1 to 64 of "
                     "a-z, 0-9, '.', '_' and '-', starting with a letter or digit"),
        {.reason = reason::kModelNameInvalid, .field = "model"});
  }
  return parsed;
}

std::string FullName(absl::string_view name, absl::string_view version) {
  return absl::StrCat(name, "@", version);
}

bool VersionLess(absl::string_view a, absl::string_view b) {
  const absl::string_view whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (absl::ascii_isdigit(a.front()) && absl::ascii_isdigit(b.front())) {
      const absl::string_view number_a = TakeNumber(a), number_b = TakeNumber(b);
      if (number_a.size() != number_b.size()) return number_a.size() < number_b.size();
      if (number_a != number_b) return number_a < number_b;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "1" and "01" have the same value
}

}  // namespace proad::server
