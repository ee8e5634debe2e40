#include "server/trainer/evaluation_page.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "model/spec/metrics.h"

namespace proad::server {
namespace {

using model::Evaluation;
using model::ScoredSample;
using Samples = std::vector<const ScoredSample*>;

constexpr size_t kBins = 48;
constexpr size_t kListed = 5;  // good images with the highest scores, and the reverse
constexpr int kBinWidth = 12;  // pixels
constexpr int kHalf = 90;      // height of each of the two histograms

constexpr char kHead[] = R"html(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.good { fill: #4a7fb5; } .defective { fill: #c8452f; } figcaption, .small { color: #666; }
</style>
)html";

std::string Escape(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

// A row of a table. The texts must be escaped.
std::string Row(const char* cell, const std::vector<std::string>& texts) {
  std::string row = "<tr>";
  for (const std::string& text : texts)
    absl::StrAppend(&row, "<", cell, ">", text, "</", cell, ">");
  return row + "</tr>\n";
}

std::string Figures(const model::Dataset& dataset, const Evaluation& evaluation) {
  std::vector<std::string> header = {"category"};
  header.insert(header.end(), model::MetricNames().begin(), model::MetricNames().end());
  std::string table = "<table>\n" + Row("th", header);
  std::vector<std::string> categories = dataset.categories;
  categories.emplace_back();  // the mean
  for (const std::string& category : categories) {
    std::vector<std::string> row = {category.empty() ? "mean" : Escape(category)};
    for (const std::string& name : model::MetricNames()) {
      const model::Metric* const metric = evaluation.Find(name, category);
      row.push_back(metric == nullptr ? "-" : absl::StrFormat("%.4f", metric->value));
    }
    table += Row("td", row);
  }
  return table + "</table>\n";
}

// Bars of good images point upwards and bars of defective images downwards from one axis of scores.
std::string Histogram(const Samples& samples) {
  const auto by_score = [](const ScoredSample* a, const ScoredSample* b) {
    return a->score < b->score;
  };
  const auto [lowest, highest] = std::minmax_element(samples.begin(), samples.end(), by_score);
  const double low = (*lowest)->score;
  const double span = std::max((*highest)->score - low, 1e-12);
  std::array<std::array<int, kBins>, 2> counts{};
  for (const ScoredSample* sample : samples) {
    const auto bin = static_cast<size_t>((sample->score - low) / span * kBins);
    ++counts[sample->defect.empty() ? 0 : 1][std::min(bin, kBins - 1)];
  }
  int most = 1;
  for (const auto& kind : counts)
    most = std::max(most, *std::max_element(kind.begin(), kind.end()));
  constexpr int kWidth = static_cast<int>(kBins) * kBinWidth;
  std::string svg = absl::StrFormat(
      "<figure><svg viewBox=\"0 0 %d %d\" width=\"%d\" role=\"img\">\n", kWidth, 2 * kHalf, kWidth);
  for (size_t bin = 0; bin < kBins; ++bin) {
    for (size_t kind = 0; kind < counts.size(); ++kind) {
      const int height = counts[kind][bin] * kHalf / most;
      if (counts[kind][bin] == 0) continue;
      absl::StrAppendFormat(&svg,
                            "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n",
                            kind == 0 ? "good" : "defective", static_cast<int>(bin) * kBinWidth,
                            kind == 0 ? kHalf - height : kHalf, kBinWidth - 1, std::max(height, 1));
    }
  }
  absl::StrAppendFormat(&svg,
                        "</svg><figcaption>scores from %.4f to %.4f: good images above, defective "
                        "images below; the highest bar has %d images</figcaption></figure>\n",
                        low, low + span, most);
  return svg;
}

// The image_auroc of each kind of defect against the good images.
std::string Defects(const Samples& samples) {
  std::vector<float> good;
  std::map<std::string, std::vector<float>> defects;
  for (const ScoredSample* sample : samples) {
    (sample->defect.empty() ? good : defects[sample->defect])
        .push_back(static_cast<float>(sample->score));
  }
  std::string table = "<table>\n" + Row("th", {"defect", "images", "image_auroc"});
  for (auto& [defect, scores] : defects) {
    const std::string images = absl::StrCat(scores.size());
    const std::optional<model::RankingMetrics> ranking = model::Rank(good, std::move(scores));
    table += Row("td",
                 {Escape(defect), images, ranking ? absl::StrFormat("%.4f", ranking->auroc) : "-"});
  }
  return table + "</table>\n";
}

// The first of `samples`; the caller has sorted them.
std::string List(const char* title, const Samples& samples) {
  std::string list = absl::StrCat("<p>", title, "</p>\n<ol class=\"small\">\n");
  for (size_t i = 0; i < std::min(samples.size(), kListed); ++i) {
    absl::StrAppendFormat(&list, "<li>%.4f %s</li>\n", samples[i]->score, Escape(samples[i]->name));
  }
  return list + "</ol>\n";
}

std::string Category(const std::string& name, const Samples& samples) {
  Samples good, defective;
  for (const ScoredSample* sample : samples)
    (sample->defect.empty() ? good : defective).push_back(sample);
  std::stable_sort(good.begin(), good.end(),
                   [](const auto* a, const auto* b) { return a->score > b->score; });
  std::stable_sort(defective.begin(), defective.end(),
                   [](const auto* a, const auto* b) { return a->score < b->score; });
  return absl::StrCat("<h2>", Escape(name), "</h2>\n", Histogram(samples), Defects(samples),
                      List("Good images with the highest scores:", good),
                      List("Defective images with the lowest scores:", defective));
}

}  // namespace

std::string EvaluationPage(const model::Manifest& manifest, const model::Dataset& dataset,
                           const Evaluation& evaluation, const std::vector<std::string>& skipped) {
  const std::string version = Escape(absl::StrCat(manifest.name, "@", manifest.version));
  std::string page =
      absl::StrCat(kHead, "<title>", version, "</title></head><body>\n<h1>", version, " on ",
                   Escape(dataset.root.filename().string()), "</h1>\n<p class=\"small\">",
                   evaluation.samples.size(), " test images in ", Escape(dataset.root.string()),
                   "; manifest ", manifest.hash, "</p>\n", Figures(dataset, evaluation));
  for (const std::string& category : dataset.categories) {
    Samples samples;
    for (const ScoredSample& sample : evaluation.samples) {
      if (sample.category == category) samples.push_back(&sample);
    }
    if (!samples.empty()) page += Category(category, samples);
  }
  if (!skipped.empty()) {
    page += "<h2>Skipped images that cannot be read</h2>\n<ul>\n";
    for (const std::string& name : skipped) absl::StrAppend(&page, "<li>", Escape(name), "</li>\n");
    page += "</ul>\n";
  }
  return page + "</body></html>\n";
}

}  // namespace proad::server
