#include "server/rpc/inspector.h"

#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/convert.h"
#include "server/telemetry/log.h"

namespace proad::server {
namespace {

// Clients choose the keys of labels. In the log a key has only lower-case letters, digits and '_':
// "label_lot".
std::string LabelKey(const std::string& key) {
  std::string word = "label_";
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    word.push_back(byte < 0x80 && std::isalnum(byte) ? static_cast<char>(std::tolower(byte)) : '_');
  }
  return word;
}

void AddLabels(const v1::DetectRequest& request, std::vector<LogField>& fields) {
  for (const auto& [key, value] : request.labels()) {
    fields.emplace_back(LabelKey(key).c_str(), value);
  }
}

void LogDetection(const v1::DetectRequest& request, const v1::DetectResponse& response,
                  Verdict verdict, absl::Duration took) {
  if (!LogEnabled(LogLevel::kInfo)) return;
  std::vector<LogField> fields = {{"request_id", response.request_id()},
                                  {"model", response.model_version().name()},
                                  {"version", response.model_version().version()},
                                  {"category", response.category()},
                                  {"score", response.score()},
                                  {"verdict", VerdictName(verdict)},
                                  {"took", took}};
  if (response.has_threshold()) fields.emplace_back("threshold", response.threshold());
  AddLabels(request, fields);
  Log(LogLevel::kInfo, "detection", fields);
}

// Metrics count overload and expired calls. A line for each would add to the load.
LogLevel LevelOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
      return LogLevel::kDebug;
    case absl::StatusCode::kInternal:
      return LogLevel::kError;
    default:
      return LogLevel::kInfo;
  }
}

void LogRefusal(const v1::DetectRequest& request, const std::string& request_id,
                const absl::Status& status) {
  const LogLevel level = LevelOf(status);
  if (!LogEnabled(level)) return;
  std::vector<LogField> fields = {
      {"request_id", request_id},
      {"model", request.model()},
      {"category", request.category()},
      {"error", absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message())}};
  AddLabels(request, fields);
  Log(level, "not inspected", fields);
}

}  // namespace

Inspector::Inspector(std::string rpc, Detector& detector, Metrics& metrics)
    : detector_(detector),
      metrics_(
          metrics, std::move(rpc),
          {absl::StatusCode::kOk, absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound,
           absl::StatusCode::kFailedPrecondition, absl::StatusCode::kResourceExhausted,
           absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kCancelled,
           absl::StatusCode::kUnavailable, absl::StatusCode::kInternal}) {}

void Inspector::Inspect(const v1::DetectRequest& request, absl::Time deadline, CancelFlag cancelled,
                        v1::DetectResponse& response, Done done) {
  const absl::Time start = absl::Now();
  response.set_request_id(RequestId(request));
  auto answer = [this, start, &request, &response,
                 done = std::move(done)](absl::StatusOr<Detection> detection) mutable {
    const absl::Status status = detection.status();
    const absl::Duration took = absl::Now() - start;
    OutputBudget::Reservation output;
    if (status.ok()) {
      const Verdict verdict = detection->verdict;
      output = std::move(detection->output);
      FillDetectResponse(*std::move(detection), request.category(), response);
      LogDetection(request, response, verdict, took);
    } else {
      LogRefusal(request, response.request_id(), status);
    }
    metrics_.Answered(status.code(), took);
    done(status, std::move(output));
  };

  absl::StatusOr<DetectQuery> query = ParseDetectRequest(request, detector_.options().image);
  if (!query.ok()) {
    answer(query.status());
    return;
  }
  query->deadline = deadline;
  query->cancelled = std::move(cancelled);
  detector_.Detect(*std::move(query), std::move(answer));
}

}  // namespace proad::server
