#include "server/util/status_details.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace proad::server {
namespace {

constexpr char kReason[] = "proad/reason";
constexpr char kField[] = "proad/field";
constexpr char kRetryAfter[] = "proad/retry_after";
constexpr char kMetadata[] = "proad/metadata/";

}  // namespace

absl::Status MakeError(absl::StatusCode code, absl::string_view message,
                       const StatusDetails& details) {
  absl::Status status(code, message);
  if (!details.reason.empty()) status.SetPayload(kReason, absl::Cord(details.reason));
  if (!details.field.empty()) status.SetPayload(kField, absl::Cord(details.field));
  if (details.retry_after) {
    status.SetPayload(kRetryAfter, absl::Cord(absl::FormatDuration(*details.retry_after)));
  }
  for (const auto& [key, value] : details.metadata) {
    status.SetPayload(absl::StrCat(kMetadata, key), absl::Cord(value));
  }
  return status;
}

StatusDetails GetDetails(const absl::Status& status) {
  StatusDetails details;
  status.ForEachPayload([&details](absl::string_view url, const absl::Cord& value) {
    const std::string text(value);
    absl::Duration duration;
    if (url == kReason) {
      details.reason = text;
    } else if (url == kField) {
      details.field = text;
    } else if (url == kRetryAfter) {
      if (absl::ParseDuration(text, &duration)) details.retry_after = duration;
    } else if (absl::ConsumePrefix(&url, kMetadata)) {
      details.metadata[std::string(url)] = text;
    }
  });
  return details;
}

}  // namespace proad::server
