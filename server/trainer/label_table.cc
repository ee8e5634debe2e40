#include "server/trainer/label_table.h"

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/dataset/label_reading.h"
#include "server/trainer/text_table.h"

namespace proad::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownLabels = 40;
constexpr size_t kShownNames = 5;
constexpr size_t kListedNames = 100;

std::string LabelOf(const model::LabelReading& reading) {
  return reading.label.empty() ? "." : Printable(reading.label);
}

std::string MeaningOf(const model::LabelReading& reading) {
  return reading.defect.empty() ? "good" : absl::StrCat("defective: ", Printable(reading.defect));
}

}  // namespace

Json LabelsToJson(const model::Dataset& dataset) {
  Json labels = Json::array();
  for (const model::LabelReading& reading : model::LabelReadings(dataset)) {
    labels.push_back({{"category", reading.category},
                      {"label", reading.label},
                      {"split", model::NameOf(reading.split)},
                      {"good", reading.defect.empty()},
                      {"defect", reading.defect},
                      {"images", reading.images},
                      {"masks", reading.masks}});
  }
  return labels;
}

std::string LabelTableText(const model::Dataset& dataset) {
  const std::vector<model::LabelReading> readings = model::LabelReadings(dataset);
  std::vector<std::vector<std::string>> rows = {
      {"folder or label", "category", "split", "read as", "images", "masks"}};
  for (const model::LabelReading& reading : readings) {
    if (rows.size() > kShownLabels) break;
    rows.push_back({LabelOf(reading), Printable(reading.category), model::NameOf(reading.split),
                    MeaningOf(reading), absl::StrCat(reading.images), absl::StrCat(reading.masks)});
  }
  std::string text = FormatTable(rows);
  if (readings.size() > kShownLabels)
    absl::StrAppend(&text, "and ", readings.size() - kShownLabels, " more; --json lists all\n");
  return text;
}

std::string GoodLabelsText(const model::Dataset& dataset) {
  std::set<std::string> labels;
  for (const model::LabelReading& reading : model::LabelReadings(dataset)) {
    const std::string name = reading.label.substr(reading.label.rfind('/') + 1);
    if (reading.split == model::Split::kTest && reading.defect.empty() && name != "good")
      labels.insert(LabelOf(reading));
  }
  if (labels.empty()) return "";
  return absl::StrCat("read as good: ", absl::StrJoin(labels, ", "), "\n");
}

Json SkippedToJson(const model::Dataset& dataset) {
  Json skipped = Json::array();
  for (const auto& [reason, names] : dataset.skipped) {
    Json listed = Json::array();
    for (const std::string& name : names) {
      if (listed.size() < kListedNames) listed.push_back(name);
    }
    skipped.push_back(
        {{"reason", model::NameOf(reason)}, {"count", names.size()}, {"names", listed}});
  }
  return skipped;
}

std::string SkippedText(const model::Dataset& dataset) {
  std::string text;
  for (const auto& [reason, names] : dataset.skipped) {
    absl::StrAppend(&text, text.empty() ? "\nskipped:\n" : "", "  ", names.size(), " ",
                    model::DescriptionOf(reason), ": ");
    size_t shown = 0;
    for (const std::string& name : names) {
      if (shown == kShownNames) break;
      absl::StrAppend(&text, shown++ > 0 ? ", " : "", Printable(name));
    }
    absl::StrAppend(&text, names.size() > kShownNames ? ", ...\n" : "\n");
  }
  return text;
}

}  // namespace proad::server
