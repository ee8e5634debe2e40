#include "model/dataset/category_name.h"

#include <algorithm>

#include "model/files/text.h"

namespace proad::model {

std::string CategoryNameProblem(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxCategoryNameBytes) {
    return "has " + std::to_string(name.size()) + " bytes; at most " +
           std::to_string(kMaxCategoryNameBytes) + " are accepted";
  }
  if (!IsUtf8(name)) return "is not UTF-8";
  const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
  if (std::any_of(name.begin(), name.end(), is_control)) return "has a control character";
  return "";
}

}  // namespace proad::model
