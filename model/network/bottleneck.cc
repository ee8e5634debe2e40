#include "model/network/bottleneck.h"

namespace proad::model {

void BottleneckImpl::set_dropout(double p, const BatchShare& share) {
  TORCH_CHECK(p >= 0.0 && p < 1.0, "the bottleneck's dropout must be at least 0 and below 1, got ",
              p);
  dropout_ = p;
  share_ = share;
}

}  // namespace proad::model
