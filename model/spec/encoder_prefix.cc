#include "model/spec/encoder_prefix.h"

#include <algorithm>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

bool HasTensorBelow(const TensorFile& file, const std::string& prefix) {
  const auto it = file.tensors.lower_bound(prefix);
  return it != file.tensors.end() && it->first.starts_with(prefix);
}

bool IsTeacher(const std::string& prefix) {
  return prefix.starts_with("teacher.") || prefix.find(".teacher.") != std::string::npos;
}

// The longest text before a dot with which all names begin, with the dot.
std::string CommonPrefix(const TensorFile& file) {
  const std::string& first = file.tensors.begin()->first;
  const std::string& last = file.tensors.rbegin()->first;  // names are sorted
  const auto end = std::mismatch(first.begin(), first.end(), last.begin(), last.end()).first;
  const std::string common(first.begin(), end);
  const size_t dot = common.rfind('.');
  return dot == std::string::npos ? "" : common.substr(0, dot + 1);
}

}  // namespace

std::vector<std::string> EncoderPrefixes(const TensorFile& file, std::string_view mark,
                                         std::string_view blocks) {
  std::vector<std::string> prefixes;
  for (const auto& [name, view] : file.tensors) {
    if (!name.ends_with(mark)) continue;
    const std::string prefix = name.substr(0, name.size() - mark.size());
    if (!prefix.empty() && !prefix.ends_with('.')) continue;
    if (HasTensorBelow(file, prefix + std::string(blocks))) prefixes.push_back(prefix);
  }
  return prefixes;
}

std::string ChoosePrefix(const std::string& source, const std::vector<std::string>& prefixes) {
  if (prefixes.size() == 1) return prefixes.front();
  if (std::find(prefixes.begin(), prefixes.end(), "") != prefixes.end()) return "";
  if (std::count_if(prefixes.begin(), prefixes.end(), IsTeacher) == 1) {
    return *std::find_if(prefixes.begin(), prefixes.end(), IsTeacher);
  }
  std::string list;
  for (const std::string& prefix : prefixes) list += (list.empty() ? "" : ", ") + Quote(prefix);
  throw InvalidInput("encoder", "ENCODER_UNKNOWN",
                     source + ": has several encoders, under the prefixes " + list +
                         "; save the tensors of one of them alone");
}

std::string DescribeNames(const TensorFile& file) {
  constexpr size_t kShown = 3;
  const std::string prefix = file.tensors.size() > 1 ? CommonPrefix(file) : "";
  std::string names;
  size_t shown = 0;
  for (const auto& [name, view] : file.tensors) {
    if (shown++ == kShown) break;
    names += (names.empty() ? "" : ", ") + Quote(name.substr(prefix.size()));
  }
  const std::string count = std::to_string(file.tensors.size());
  if (prefix.empty()) return "the first of its " + count + " tensors are " + names;
  return "its " + count + " tensors have the prefix " + Quote(prefix) +
         ", and the first behind it are " + names;
}

}  // namespace proad::model
