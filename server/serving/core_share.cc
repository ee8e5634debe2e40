#include "server/serving/core_share.h"

#include <algorithm>

namespace proad::server {

CoreShare::Batch::Batch(CoreShare& share) : share_(share) {
  const int batches = ++share_.batches_;
  threads_ = share_.threads_ > 0 ? share_.threads_ : std::max(1, share_.cores_ / batches);
}

CoreShare::Batch::~Batch() { --share_.batches_; }

}  // namespace proad::server
