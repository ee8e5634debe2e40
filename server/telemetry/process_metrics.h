// What the system knows about this process, under the names that every Prometheus client uses.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

namespace proad::server {

// process_resident_memory_bytes, process_virtual_memory_bytes, process_cpu_seconds_total,
// process_open_fds, process_max_fds, process_threads and process_start_time_seconds, read from
// /proc now. What cannot be read is left out.
std::vector<prometheus::MetricFamily> CollectProcessMetrics();

}  // namespace proad::server
