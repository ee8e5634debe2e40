#include "model/spec/non_finite_loss.h"

#include <sstream>

namespace proad::model {
namespace {

std::string NotFinite(int64_t step, double learning_rate, const std::string& what) {
  std::ostringstream text;
  text << "the " << what << " is not finite in step " << step << ", at learning rate "
       << learning_rate << "; use a smaller learning rate or start again from fresh weights";
  return text.str();
}

}  // namespace

NonFiniteLoss::NonFiniteLoss(int64_t step, double learning_rate, const std::string& what)
    : std::runtime_error(NotFinite(step, learning_rate, what)),
      step_(step),
      learning_rate_(learning_rate) {}

}  // namespace proad::model
