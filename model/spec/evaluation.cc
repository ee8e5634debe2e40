#include "model/spec/evaluation.h"

#include <algorithm>

namespace proad::model {

const std::vector<std::string>& MetricNames() {
  static const std::vector<std::string> names = {"image_auroc", "image_ap", "image_f1_max",
                                                 "pixel_auroc", "pixel_ap", "pixel_f1_max",
                                                 "aupro"};
  return names;
}

const Metric* Evaluation::Find(const std::string& name, const std::string& category) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(), [&](const Metric& metric) {
    return metric.name == name && metric.category == category;
  });
  return found == metrics.end() ? nullptr : &*found;
}

}  // namespace proad::model
