// The rule for names of categories. The dataset reader, and with it the planning of jobs, and the
// manifest apply it, so that a job with an invalid name is refused before its first training step.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace proad::model {

inline constexpr size_t kMaxCategoryNameBytes = 128;

// A category name has 1 to kMaxCategoryNameBytes bytes of UTF-8 without control characters, because
// logs and tables print it on one line. Returns the problem of `name` for a message, for example
// "is empty", or "" if the name is valid.
std::string CategoryNameProblem(std::string_view name);

}  // namespace proad::model
