// A tensor that an encoder needs. A value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace proad::model {

// A tensor that the network needs, and its parts in the file, to be concatenated along the first
// axis. Each part may have one of several names.
struct WantedTensor {
  std::string official;
  std::vector<std::vector<std::string>> parts;
  std::vector<int64_t> part_shape;
};

}  // namespace proad::model
