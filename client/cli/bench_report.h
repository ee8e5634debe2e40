// Statistics of a load of `proad bench`. Pure functions and values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/bench_load.h"

namespace proad::client {

// In milliseconds.
struct Latencies {
  double mean = 0;
  double p50 = 0;
  double p90 = 0;
  double p95 = 0;
  double p99 = 0;
  double p999 = 0;
  double max = 0;
};

struct LoadReport {
  int clients = 0;  // clients of a closed loop; 0 for an open loop
  int64_t sent = 0;
  int64_t ok = 0;                           // images answered with a detection
  double seconds = 0;                       // duration of the measurement of the rate
  double rate = 0;                          // detections per second
  std::optional<Latencies> latencies;       // of detections; nullopt without any
  std::optional<Latencies> refusals;        // of errors; nullopt without any
  std::map<std::string, int64_t> errors;    // count by name, "RESOURCE_EXHAUSTED QUEUE_FULL"
  std::map<std::string, int64_t> versions;  // detections by version
};

// Returns the lowest sample that a `share` of the samples does not exceed (nearest rank).
// `sorted` must not be empty; share in (0, 1].
double Percentile(const std::vector<double>& sorted, double share);

LoadReport MakeLoadReport(const LoadPlan& plan, const LoadResult& result);

// Text of several lines.
std::string ToText(const LoadReport& report);

// One JSON object in one line, with a newline.
std::string ToJson(const LoadReport& report);

// Returns the knee of a sweep: the lowest number of clients with at least 95 % of the highest rate.
// The key of a report is its number of clients. `reports` must not be empty.
int KneeOf(const std::map<int, LoadReport>& reports);

}  // namespace proad::client
