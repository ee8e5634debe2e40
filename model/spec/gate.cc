#include "model/spec/gate.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace proad::model {
namespace {

constexpr char kDefaultMetric[] = "image_auroc";

// Decimal fractions are not exact in binary: 0.8 - 0.1 is not exactly 0.7.
constexpr double kRounding = 1e-12;

std::string Text(double value, int digits) {
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), "%.*g", digits, value);
  return text.data();
}

// Two different figures, with enough digits to show the difference.
std::pair<std::string, std::string> Texts(double a, double b) {
  std::pair<std::string, std::string> texts;
  for (const int digits : {4, 6, 9, 17}) {
    texts = {Text(a, digits), Text(b, digits)};
    if (texts.first != texts.second) break;
  }
  return texts;
}

std::string Describe(const std::string& metric, const std::string& category) {
  return category.empty() ? "the mean " + metric : metric + " of " + category;
}

// The reason of a minimum that is not reached, or "".
std::string CheckMinimum(const MetricMinimum& minimum, const Evaluation& candidate) {
  const std::string what = Describe(minimum.metric, minimum.category);
  const Metric* const metric = candidate.Find(minimum.metric, minimum.category);
  if (metric == nullptr) {
    return what + " was not measured, but at least " + Text(minimum.minimum, 4) + " is required";
  }
  if (metric->value >= minimum.minimum) return "";
  const auto [value, least] = Texts(metric->value, minimum.minimum);
  return what + " is " + value + ", but at least " + least + " is required";
}

std::string CheckNotWorse(const std::string& name, const std::string& category, double tolerance,
                          const Evaluation& candidate, const Evaluation& active) {
  const std::string what = Describe(name, category);
  const Metric* const metric = candidate.Find(name, category);
  const Metric* const other = active.Find(name, category);
  if (metric == nullptr || other == nullptr) {
    const auto value = [](const Metric* m) {
      return m == nullptr ? "was not measured" : "is " + Text(m->value, 4);
    };
    return what + " " + value(metric) + ", and that of the active version " + value(other) +
           ", so they cannot be compared";
  }
  if (metric->value >= other->value - tolerance - kRounding) return "";
  const auto [mine, theirs] = Texts(metric->value, other->value);
  return what + " is " + mine + ", and that of the active version is " + theirs +
         (tolerance > 0 ? ", more than the tolerated " + Text(tolerance, 4) + " above" : "");
}

// The metrics and categories that not_worse_than_active compares, each once.
std::vector<std::pair<std::string, std::string>> Compared(const Gate& gate) {
  std::vector<std::pair<std::string, std::string>> compared;
  for (const MetricMinimum& minimum : gate.minimums) {
    const std::pair<std::string, std::string> key = {minimum.metric, minimum.category};
    if (std::find(compared.begin(), compared.end(), key) == compared.end()) compared.push_back(key);
  }
  if (compared.empty()) compared.emplace_back(kDefaultMetric, "");
  return compared;
}

}  // namespace

GateVerdict Judge(const Gate& gate, const Evaluation& candidate, const Evaluation* active) {
  std::vector<std::string> failures;
  for (const MetricMinimum& minimum : gate.minimums) {
    failures.push_back(CheckMinimum(minimum, candidate));
  }
  if (gate.not_worse_than_active && active != nullptr) {
    for (const auto& [metric, category] : Compared(gate)) {
      failures.push_back(CheckNotWorse(metric, category, gate.tolerance, candidate, *active));
    }
  }
  GateVerdict verdict;
  for (const std::string& failure : failures) {
    if (failure.empty()) continue;
    verdict.reason += (verdict.reason.empty() ? "" : "; ") + failure;
  }
  verdict.passed = verdict.reason.empty();
  return verdict;
}

}  // namespace proad::model
