#include "server/telemetry/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace proad::server {
namespace {

using prometheus::MetricType;

std::string ReadAll(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Append(std::vector<prometheus::MetricFamily>& families, const char* name, const char* help,
            MetricType type, double value) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family.metric.push_back(std::move(metric));
  families.push_back(std::move(family));
}

// Seconds since the epoch at which the system started.
std::optional<double> BootTime() {
  for (const absl::string_view line : absl::StrSplit(ReadAll("/proc/stat"), '\n')) {
    double seconds = 0;
    if (line.substr(0, 6) == "btime " && absl::SimpleAtod(line.substr(6), &seconds)) return seconds;
  }
  return std::nullopt;
}

std::optional<double> OpenFiles() {
  DIR* const dir = opendir("/proc/self/fd");
  if (dir == nullptr) return std::nullopt;
  int entries = 0;
  while (readdir(dir) != nullptr) ++entries;
  closedir(dir);
  return entries - 3;  // ".", ".." and the descriptor of `dir`
}

}  // namespace

std::vector<prometheus::MetricFamily> CollectProcessMetrics() {
  std::vector<prometheus::MetricFamily> families;
  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));

  // The second field of stat is the name of the program in parentheses and may contain any
  // character, so fields are counted from its end.
  const std::string stat = ReadAll("/proc/self/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end != std::string::npos && name_end + 2 < stat.size()) {
    // fields[i] is field i + 3 of proc(5).
    const std::vector<std::string> fields = absl::StrSplit(stat.substr(name_end + 2), ' ');
    double user = 0, system = 0, threads = 0, start = 0, virtual_bytes = 0, resident_pages = 0;
    if (fields.size() > 21 && absl::SimpleAtod(fields[11], &user) &&
        absl::SimpleAtod(fields[12], &system) && absl::SimpleAtod(fields[17], &threads) &&
        absl::SimpleAtod(fields[19], &start) && absl::SimpleAtod(fields[20], &virtual_bytes) &&
        absl::SimpleAtod(fields[21], &resident_pages)) {
      Append(families, "process_cpu_seconds_total", "User and system time spent.",
             MetricType::Counter, (user + system) / ticks);
      Append(families, "process_threads", "Threads of the process.", MetricType::Gauge, threads);
      Append(families, "process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge,
             virtual_bytes);
      Append(families, "process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
             resident_pages * static_cast<double>(sysconf(_SC_PAGESIZE)));
      if (const auto boot = BootTime()) {
        Append(families, "process_start_time_seconds", "Start, in seconds since the epoch.",
               MetricType::Gauge, *boot + start / ticks);
      }
    }
  }
  if (const auto open = OpenFiles()) {
    Append(families, "process_open_fds", "Open file descriptors.", MetricType::Gauge, *open);
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    Append(families, "process_max_fds", "File descriptors that may be open.", MetricType::Gauge,
           static_cast<double>(limit.rlim_cur));
  }
  return families;
}

}  // namespace proad::server
