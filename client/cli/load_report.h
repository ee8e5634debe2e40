// What came of a load, in figures. Pure functions and values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/load.h"

namespace proad::client {

// Milliseconds.
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
  int clients = 0;  // of a closed loop; 0: an open one
  int64_t sent = 0;
  int64_t ok = 0;
  double seconds = 0;                       // in which the rate was measured
  double rate = 0;                          // good answers a second
  std::optional<Latencies> latencies;       // of good answers; none: there were none
  std::optional<Latencies> refusals;        // of errors, likewise
  std::map<std::string, int64_t> errors;    // "RESOURCE_EXHAUSTED QUEUE_FULL"
  std::map<std::string, int64_t> versions;  // that gave the good answers
};

// The value that a share of the samples do not exceed: the nearest rank, no interpolation.
// `sorted` must not be empty; share in (0, 1].
double Percentile(const std::vector<double>& sorted, double share);

LoadReport MakeLoadReport(const LoadPlan& plan, const LoadResult& result);

// For people; several lines.
std::string ToText(const LoadReport& report);

// One line with a newline.
std::string ToJson(const LoadReport& report);

// Loads of a sweep, each with so many clients as its key. The knee: the fewest clients that give at
// least 95 % of the highest rate. `reports` must not be empty.
int KneeOf(const std::map<int, LoadReport>& reports);

}  // namespace proad::client
