#include "model/dataset/label_reading.h"

#include <map>
#include <tuple>

namespace proad::model {

std::vector<LabelReading> LabelReadings(const Dataset& dataset) {
  std::map<std::tuple<std::string, Split, std::string, std::string>, LabelReading> readings;
  for (const Sample& sample : dataset.samples) {
    LabelReading& reading = readings[{sample.category, sample.split, sample.label, sample.defect}];
    if (reading.images == 0) {
      reading.category = sample.category;
      reading.label = sample.label;
      reading.split = sample.split;
      reading.defect = sample.defect;
    }
    ++reading.images;
    if (sample.mask) ++reading.masks;
  }
  std::vector<LabelReading> sorted;
  for (const auto& [key, reading] : readings) sorted.push_back(reading);
  return sorted;
}

std::string BothReadings(std::string_view label) {
  std::string readings;
  const std::string normalized = NormalizeLabel(label);
  if (normalized.starts_with("pos") || normalized.starts_with("neg")) {
    readings =
        "a positive test has found a defect, but a positive example is good, and the reverse for "
        "\"negative\"";
  } else if (normalized == "0" || normalized == "1") {
    readings = "0 is good and 1 defective in some datasets, and the reverse in others";
  } else {
    readings = "it may be that of good parts or that of a kind of defect";
  }
  return readings + "; write \"good\" for good parts, or the kind of defect";
}

}  // namespace proad::model
