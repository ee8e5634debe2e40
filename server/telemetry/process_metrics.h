// Metrics of this process from the system, with the names that Prometheus clients use.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace proad::server {

// process_resident_memory_bytes, process_virtual_memory_bytes, process_cpu_seconds_total,
// process_open_fds, process_max_fds, process_threads and process_start_time_seconds, read from
// /proc now. Leaves out the values that it cannot read.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace proad::server
