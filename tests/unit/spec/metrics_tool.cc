// Runs the project's metrics for metrics_parity.py, one request after another.
//
// A request on stdin is a line and raw data in the machine's byte order; the answer on stdout is a
// line of the figures with 17 digits, "absent", or "error MESSAGE".
//   rank GOOD ANOMALOUS          that many float scores of each kind
//                                -> AUROC AP F1MAX
//   pixels COUNT WIDTH HEIGHT    COUNT times: a byte, whether there is a mask; the map as floats;
//                                the mask, if any, as bytes
//                                -> AUROC AP F1MAX AUPRO
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/spec/metrics.h"

namespace {

using proad::model::PixelMetrics;
using proad::model::PixelReport;
using proad::model::RankingMetrics;

template <typename T>
std::vector<T> Read(size_t count) {
  std::vector<T> values(count);
  std::cin.read(reinterpret_cast<char*>(values.data()),
                static_cast<std::streamsize>(count * sizeof(T)));
  if (!std::cin) throw std::runtime_error("the request ends early");
  return values;
}

std::string Show(const RankingMetrics& metrics) {
  char text[100];
  std::snprintf(text, sizeof text, "%.17g %.17g %.17g", metrics.auroc, metrics.average_precision,
                metrics.f1_max);
  return text;
}

std::string RankRequest(std::istream& request) {
  size_t good = 0;
  size_t anomalous = 0;
  request >> good >> anomalous;
  std::vector<float> good_scores = Read<float>(good);
  std::vector<float> anomalous_scores = Read<float>(anomalous);
  const std::optional<RankingMetrics> metrics =
      proad::model::Rank(std::move(good_scores), std::move(anomalous_scores));
  return metrics ? Show(*metrics) : "absent";
}

std::string PixelsRequest(std::istream& request) {
  int count = 0;
  int width = 0;
  int height = 0;
  request >> count >> width >> height;
  const size_t pixels = static_cast<size_t>(width) * static_cast<size_t>(height);
  PixelMetrics metrics;
  for (int i = 0; i < count; ++i) {
    const bool has_mask = Read<uint8_t>(1)[0] != 0;
    const std::vector<float> map = Read<float>(pixels);
    const std::vector<uint8_t> mask = Read<uint8_t>(has_mask ? pixels : 0);
    metrics.Add(map, mask, width, height);
  }
  const std::optional<PixelReport> report = metrics.Finish();
  if (!report) return "absent";
  char aupro[40];
  std::snprintf(aupro, sizeof aupro, " %.17g", report->aupro);
  return Show(report->ranking) + aupro;
}

}  // namespace

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream request(line);
    std::string mode;
    request >> mode;
    try {
      std::cout << (mode == "rank" ? RankRequest(request) : PixelsRequest(request)) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error " << error.what() << std::endl;
    }
  }
}
