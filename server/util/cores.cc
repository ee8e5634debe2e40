#include "server/util/cores.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace proad::server {

int UsableCores() {
  return UsableCoresAt("/", static_cast<int>(std::thread::hardware_concurrency()));
}

int WorkersOn(absl::string_view device) {
  return device == "cpu" ? std::min(UsableCores(), 16) : 1;
}

int ThreadsOrCores(int threads) { return threads > 0 ? threads : UsableCores(); }

int UsableCoresAt(const std::filesystem::path& root, int bound) {
  std::ifstream in(root / "sys/fs/cgroup/cpu.max");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  // "max 100000", or the time in each period.
  const std::vector<absl::string_view> words =
      absl::StrSplit(absl::StripAsciiWhitespace(text), ' ');
  double time = 0, period = 0;
  if (words.size() == 2 && absl::SimpleAtod(words[0], &time) &&
      absl::SimpleAtod(words[1], &period) && time > 0 && period > 0) {
    bound = std::min(bound, static_cast<int>(std::ceil(std::min(time / period, 1e6))));
  }
  return std::max(bound, 1);
}

}  // namespace proad::server
