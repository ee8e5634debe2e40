#include "client/cli/detect_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/connection.h"
#include "client/error.h"

namespace proad::client {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxFileWidth = 60;

std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string VerdictName(proad::v1::Verdict verdict) {
  return std::string(absl::StripPrefix(proad::v1::Verdict_Name(verdict), "VERDICT_"));
}

double Milliseconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6;
}

Json ErrorToJson(const absl::Status& status) {
  const ErrorDetails details = DetailsOf(status);
  Json json = {{"code", absl::StatusCodeToString(status.code())},
               {"message", std::string(status.message())}};
  if (!details.reason.empty()) json["reason"] = details.reason;
  if (!details.fields.empty()) json["field"] = details.fields[0].field;
  if (details.retry_after) {
    json["retry_after_seconds"] = absl::ToDoubleSeconds(*details.retry_after);
  }
  return json;
}

Json DetectionToJson(const proad::v1::DetectResponse& detection) {
  Json json = {{"request_id", detection.request_id()},
               {"model", detection.model_version().name()},
               {"version", detection.model_version().version()},
               {"model_hash", detection.model_version().hash()},
               {"category", detection.category()},
               {"score", detection.score()},
               {"verdict", VerdictName(detection.verdict())}};
  if (detection.has_threshold()) json["threshold"] = detection.threshold();
  if (detection.has_normalized_score()) json["normalized_score"] = detection.normalized_score();
  json["threshold_source"] = absl::StripPrefix(
      proad::v1::ThresholdSource_Name(detection.threshold_source()), "THRESHOLD_SOURCE_");
  json["image_width"] = detection.image_width();
  json["image_height"] = detection.image_height();
  const auto& timing = detection.timing();
  json["server_milliseconds"] = {{"queue", Milliseconds(timing.queue())},
                                 {"preprocess", Milliseconds(timing.preprocess())},
                                 {"batch_wait", Milliseconds(timing.batch_wait())},
                                 {"inference", Milliseconds(timing.inference())},
                                 {"postprocess", Milliseconds(timing.postprocess())}};
  json["batch_size"] = timing.batch_size();
  return json;
}

std::string JsonRow(const DetectRow& row) {
  Json json = {{"file", row.file}};
  if (row.detection.ok()) json.update(DetectionToJson(*row.detection));
  json["milliseconds"] = absl::ToDoubleMilliseconds(row.elapsed);
  if (!row.maps.overlay.empty()) json["overlay"] = row.maps.overlay;
  if (!row.maps.heatmap.empty()) json["heatmap"] = row.maps.heatmap;
  if (!row.detection.ok()) {
    json["error"] = ErrorToJson(row.detection.status());
  } else if (!row.saved.ok()) {
    json["error"] = ErrorToJson(row.saved);
  }
  return ToLine(json);
}

size_t FileWidth(const std::vector<std::string>& files) {
  size_t width = 0;
  for (const std::string& file : files) width = std::max(width, DisplayWidth(Printable(file)));
  return std::min(width, kMaxFileWidth);
}

std::string Score(std::optional<double> value) {
  return value ? absl::StrFormat("%.4f", *value) : "-";
}

// Lists the skipped files and folders by reason.
std::string SkippedText(const SkippedFiles& skipped) {
  if (skipped.count() == 0) return "";
  std::string text = absl::StrCat("\nskipped ", skipped.count(), " files and folders:\n");
  for (const auto& [reason, group] : skipped.groups()) {
    absl::StrAppend(&text, "  ", group.count, " ", DescriptionOf(reason), ": ",
                    Printable(absl::StrJoin(group.paths, ", ")),
                    group.count > group.paths.size() ? ", ...\n" : "\n");
  }
  return text;
}

Json SkippedToJson(const SkippedFiles& skipped) {
  Json json = Json::object();
  for (const auto& [reason, group] : skipped.groups()) {
    json[NameOf(reason)] = {{"count", group.count}, {"paths", group.paths}};
  }
  return json;
}

std::string FolderNames(const AurocReport& auroc, FolderMeaning meaning) {
  const auto found = auroc.folders.find(meaning);
  return found == auroc.folders.end() ? "" : Printable(absl::StrJoin(found->second, ", "));
}

std::string AurocText(const AurocReport& auroc) {
  std::string text = "\n";
  std::vector<std::vector<std::string>> rows;
  for (const auto& [category, of_category] : auroc.categories) {
    rows.push_back(
        {Printable(category), absl::StrCat(of_category.images),
         of_category.auroc ? Score(of_category.auroc) : "- (needs good and defective images)"});
  }
  if (auroc.mean) rows.push_back({"mean", "", Score(auroc.mean)});
  if (!rows.empty()) {
    text +=
        Format({{"category"}, {"images", 0, true}, {"image AUROC (labels from folders)"}}, rows);
  }
  const std::string good = FolderNames(auroc, FolderMeaning::kGood);
  const std::string defective = FolderNames(auroc, FolderMeaning::kDefective);
  const std::string ambiguous = FolderNames(auroc, FolderMeaning::kAmbiguous);
  if (!good.empty()) absl::StrAppend(&text, "good folders: ", good, "\n");
  if (!defective.empty()) absl::StrAppend(&text, "defective folders: ", defective, "\n");
  if (!ambiguous.empty()) {
    absl::StrAppend(&text, "folders without a label: ", ambiguous,
                    ". The name can mean good or defective: rename the folder to good, or to the "
                    "name of the defect\n");
  }
  return text;
}

Json LabelsToJson(const AurocReport& auroc) {
  Json json;
  for (const auto& [meaning, name] :
       {std::pair(FolderMeaning::kGood, "good"), std::pair(FolderMeaning::kDefective, "defective"),
        std::pair(FolderMeaning::kAmbiguous, "ambiguous")}) {
    const auto found = auroc.folders.find(meaning);
    json[name] = found == auroc.folders.end() ? Json::array() : Json(found->second);
  }
  return json;
}

}  // namespace

DetectReport::DetectReport(Style style, const std::vector<std::string>& files)
    : style_(style),
      table_({{"file", FileWidth(files)},
              {"score", 7, true},
              {"threshold", 9, true},
              {"verdict", 9},
              {"ms", 7, true}}) {}

std::string DetectReport::Header() const {
  return style_ == Style::kJson ? "" : table_.Header() + "\n";
}

std::string DetectReport::Add(const DetectRow& row) {
  if (row.detection.ok()) {
    const auto& version = row.detection->model_version();
    model_ = absl::StrCat(version.name(), "@", version.version());
    switch (row.detection->verdict()) {
      case proad::v1::VERDICT_NORMAL:
        ++summary_.normal;
        break;
      case proad::v1::VERDICT_ANOMALOUS:
        ++summary_.anomalous;
        break;
      default:
        ++summary_.undecided;
    }
  }
  if (!row.detection.ok() || !row.saved.ok()) ++summary_.failed;
  if (IsUnreachable(row.detection.status())) ++summary_.unreachable;
  return style_ == Style::kJson ? JsonRow(row) : TableRow(row);
}

std::string DetectReport::TableRow(const DetectRow& row) const {
  const bool colour = style_ == Style::kColouredTable;
  const char* const red = colour ? "\x1b[31m" : "";
  const char* const plain = colour ? "\x1b[0m" : "";
  const std::string file = Printable(row.file);
  if (!row.detection.ok()) {
    return absl::StrCat(table_.Row({file, "-", "-", "FAILED"}), "  ", red,
                        Printable(Describe(row.detection.status())), plain, "\n");
  }
  const auto& detection = *row.detection;
  std::string line = table_.Row(
      {file, Score(detection.score()),
       Score(detection.has_threshold() ? std::optional(detection.threshold()) : std::nullopt),
       VerdictName(detection.verdict()),
       absl::StrFormat("%.1f", absl::ToDoubleMilliseconds(row.elapsed))});
  if (detection.verdict() == proad::v1::VERDICT_ANOMALOUS) line = absl::StrCat(red, line, plain);
  if (!row.saved.ok()) absl::StrAppend(&line, "  ", red, Describe(row.saved), plain);
  return line + "\n";
}

std::string DetectReport::SummaryText(absl::Duration elapsed) const {
  const int inspected = summary_.normal + summary_.anomalous + summary_.undecided;
  std::string text = absl::StrFormat(
      "\n%d inspected in %.1f s%s%s: %d normal, %d anomalous, %d undecided; %d failed\n", inspected,
      absl::ToDoubleSeconds(elapsed), model_.empty() ? "" : " by ", Printable(model_),
      summary_.normal, summary_.anomalous, summary_.undecided, summary_.failed);
  if (summary_.undecided > 0) {
    text +=
        "undecided: the version has no threshold. Calibrate it, or give one with --threshold.\n";
  }
  return text;
}

std::string DetectReport::Footer(absl::Duration elapsed, const SkippedFiles& skipped,
                                 const std::optional<AurocReport>& auroc) const {
  if (style_ == Style::kJson) return JsonFooter(elapsed, skipped, auroc);
  return absl::StrCat(SummaryText(elapsed), SkippedText(skipped), auroc ? AurocText(*auroc) : "");
}

std::string DetectReport::JsonFooter(absl::Duration elapsed, const SkippedFiles& skipped,
                                     const std::optional<AurocReport>& auroc) const {
  Json summary = {{"normal", summary_.normal},         {"anomalous", summary_.anomalous},
                  {"undecided", summary_.undecided},   {"failed", summary_.failed},
                  {"skipped", SkippedToJson(skipped)}, {"seconds", absl::ToDoubleSeconds(elapsed)}};
  if (auroc) {
    Json categories = Json::object();
    for (const auto& [category, of_category] : auroc->categories) {
      if (of_category.auroc) categories[category] = *of_category.auroc;
    }
    summary["image_auroc"] = {{"categories", categories}};
    if (auroc->mean) summary["image_auroc"]["mean"] = *auroc->mean;
    summary["labels"] = LabelsToJson(*auroc);
  }
  return ToLine({{"summary", summary}});
}

}  // namespace proad::client
