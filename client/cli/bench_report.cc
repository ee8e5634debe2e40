#include "client/cli/bench_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/table.h"

namespace proad::client {
namespace {

constexpr double kKneeShare = 0.95;

std::optional<Latencies> LatenciesOf(std::vector<double> milliseconds) {
  if (milliseconds.empty()) return std::nullopt;
  std::sort(milliseconds.begin(), milliseconds.end());
  Latencies latencies;
  latencies.mean = std::accumulate(milliseconds.begin(), milliseconds.end(), 0.0) /
                   static_cast<double>(milliseconds.size());
  latencies.p50 = Percentile(milliseconds, 0.5);
  latencies.p90 = Percentile(milliseconds, 0.9);
  latencies.p95 = Percentile(milliseconds, 0.95);
  latencies.p99 = Percentile(milliseconds, 0.99);
  latencies.p999 = Percentile(milliseconds, 0.999);
  latencies.max = milliseconds.back();
  return latencies;
}

std::string NameOf(const LoadSample& sample) {
  const std::string code = absl::StatusCodeToString(sample.code);
  return sample.reason.empty() ? code : absl::StrCat(code, " ", sample.reason);
}

std::vector<std::string> Row(const std::string& title, const Latencies& latencies) {
  std::vector<std::string> row = {title};
  for (const double value : {latencies.mean, latencies.p50, latencies.p90, latencies.p95,
                             latencies.p99, latencies.p999, latencies.max}) {
    row.push_back(absl::StrFormat("%.1f", value));
  }
  return row;
}

nlohmann::json JsonOf(const std::optional<Latencies>& latencies) {
  if (!latencies) return nullptr;
  return {{"mean", latencies->mean}, {"p50", latencies->p50}, {"p90", latencies->p90},
          {"p95", latencies->p95},   {"p99", latencies->p99}, {"p99.9", latencies->p999},
          {"max", latencies->max}};
}

}  // namespace

double Percentile(const std::vector<double>& sorted, double share) {
  const double rank = std::ceil(share * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

LoadReport MakeLoadReport(const LoadPlan& plan, const LoadResult& result) {
  LoadReport report;
  if (plan.rate == 0) report.clients = plan.clients;
  std::vector<double> good;
  std::vector<double> bad;
  for (const LoadSample& sample : result.samples) {
    const bool ok = sample.code == absl::StatusCode::kOk;
    (ok ? good : bad).push_back(absl::ToDoubleMilliseconds(sample.latency));
    ++(ok ? report.versions[sample.version] : report.errors[NameOf(sample)]);
  }
  report.sent = static_cast<int64_t>(result.samples.size());
  report.ok = static_cast<int64_t>(good.size());
  report.seconds = absl::ToDoubleSeconds(result.measured);
  if (report.seconds > 0) report.rate = static_cast<double>(result.answered) / report.seconds;
  report.latencies = LatenciesOf(std::move(good));
  report.refusals = LatenciesOf(std::move(bad));
  return report;
}

std::string ToText(const LoadReport& report) {
  std::string text =
      absl::StrFormat("%d images sent, %d answered with a detection, %.1f per second\n",
                      report.sent, report.ok, report.rate);
  std::vector<Column> columns = {{"milliseconds"}};
  for (const char* title : {"mean", "p50", "p90", "p95", "p99", "p99.9", "max"}) {
    columns.push_back({title, 0, /*right=*/true});
  }
  std::vector<std::vector<std::string>> rows;
  if (report.latencies) rows.push_back(Row("detections", *report.latencies));
  if (report.refusals) rows.push_back(Row("errors", *report.refusals));
  if (!rows.empty()) absl::StrAppend(&text, "\n", Format(columns, rows));
  if (!report.errors.empty()) text += "\n";
  for (const auto& [name, count] : report.errors) absl::StrAppend(&text, count, " ", name, "\n");
  if (report.versions.size() > 1) text += "\n";
  for (const auto& [version, count] : report.versions) {
    if (report.versions.size() > 1) absl::StrAppend(&text, count, " by ", version, "\n");
  }
  return text;
}

std::string ToJson(const LoadReport& report) {
  const nlohmann::json json = {{"clients", report.clients},
                               {"sent", report.sent},
                               {"ok", report.ok},
                               {"seconds", report.seconds},
                               {"images_per_second", report.rate},
                               {"errors", report.errors},
                               {"versions", report.versions},
                               {"latency_ms", JsonOf(report.latencies)},
                               {"error_latency_ms", JsonOf(report.refusals)}};
  return json.dump() + "\n";
}

int KneeOf(const std::map<int, LoadReport>& reports) {
  double highest = 0;
  for (const auto& [clients, report] : reports) highest = std::max(highest, report.rate);
  for (const auto& [clients, report] : reports) {
    if (report.rate >= kKneeShare * highest) return clients;
  }
  return reports.rbegin()->first;
}

}  // namespace proad::client
