#include "model/dataset/mask_names.h"

#include <iterator>
#include <optional>
#include <set>
#include <string_view>

#include "model/files/text.h"

namespace proad::model {
namespace {

// Longer words before their endings. The first words never end the name of an image.
constexpr std::string_view kMaskWords[] = {
    "ground_truth", "ground-truth", "ground truth", "groundtruth", "masks", "mask",
    "maske",        "masque",       "mascara",      "maschera",    "gt",    "segmentation",
    "annotations",  "annotation",   "labels",       "label",       "segm",  "seg"};
constexpr size_t kSureWords = 11;  // up to "gt"
constexpr std::string_view kImageWords[] = {"image", "img", "rgb", "orig", "original"};
constexpr std::string_view kSeparators = "_-. (";
constexpr std::string_view kBehindWord = "_-. ()0123456789";

std::string_view Stem(std::string_view file) { return file.substr(0, file.rfind('.')); }

std::string_view WithoutSeparatorsAtEnd(std::string_view text) {
  const size_t last = text.find_last_not_of(kSeparators);
  return last == std::string_view::npos ? "" : text.substr(0, last + 1);
}

// Removes `word` and the separators before it. nullopt if the text does not end with both.
std::optional<std::string> WithoutEnd(std::string_view text, std::string_view word) {
  if (!ToLowerAscii(text).ends_with(word)) return std::nullopt;
  const std::string_view rest = text.substr(0, text.size() - word.size());
  const std::string_view image = WithoutSeparatorsAtEnd(rest);
  if (image.empty() || image.size() == rest.size()) return std::nullopt;
  return std::string(image);
}

// Removes `word` and the separators behind it. nullopt if the text does not begin with both.
std::optional<std::string> WithoutBeginning(std::string_view text, std::string_view word) {
  if (!ToLowerAscii(text).starts_with(word) || text.size() == word.size()) return std::nullopt;
  const size_t first = text.find_first_not_of(kSeparators, word.size());
  if (first == std::string_view::npos || first == word.size()) return std::nullopt;
  return std::string(text.substr(first));
}

struct MaskName {
  std::string image;     // its stem
  bool is_sure = false;  // whether no image's name looks like this
};

std::optional<MaskName> ReadMaskName(std::string_view file) {
  const std::string_view stem = Stem(file);
  const size_t last = stem.find_last_not_of(kBehindWord);
  if (last == std::string_view::npos) return std::nullopt;
  const std::string_view unnumbered = stem.substr(0, last + 1);
  for (size_t i = 0; i < std::size(kMaskWords); ++i) {
    const std::string_view word = kMaskWords[i];
    if (auto image = WithoutEnd(stem, word)) return MaskName{*std::move(image), i < kSureWords};
    if (auto image = WithoutEnd(unnumbered, word)) return MaskName{*std::move(image), false};
    if (auto image = WithoutBeginning(stem, word)) return MaskName{*std::move(image), false};
  }
  return std::nullopt;
}

// The names under which a mask may refer to an image.
std::vector<std::string> KeysOf(const std::string& image) {
  std::vector<std::string> keys = {std::string(Stem(image)), image};
  for (const std::string_view word : kImageWords) {
    if (auto rest = WithoutEnd(Stem(image), word)) keys.push_back(*std::move(rest));
    if (auto rest = WithoutBeginning(Stem(image), word)) keys.push_back(*std::move(rest));
  }
  return keys;
}

}  // namespace

PairedFiles PairFiles(const std::vector<std::string>& files) {
  std::map<std::string, std::set<std::string>> images_by_key;
  for (const std::string& file : files) {
    for (const std::string& key : KeysOf(file)) images_by_key[key].insert(file);
  }
  PairedFiles paired;
  std::vector<std::string> unsure;
  for (const std::string& file : files) {
    const std::optional<MaskName> mask = ReadMaskName(file);
    const auto found = mask ? images_by_key.find(mask->image) : images_by_key.end();
    if (found != images_by_key.end()) {
      for (const std::string& image : found->second) paired.masks[image].push_back(file);
      continue;
    }
    paired.images.push_back(file);
    if (mask) (mask->is_sure ? paired.orphans : unsure).push_back(file);
  }
  if (!paired.masks.empty())
    paired.orphans.insert(paired.orphans.end(), unsure.begin(), unsure.end());
  return paired;
}

std::map<std::string, std::vector<std::string>> MasksByImage(
    const std::vector<std::string>& images, const std::vector<std::string>& masks) {
  std::map<std::string, std::vector<std::string>> same, named;  // by a key of their image
  for (const std::string& mask : masks) {
    same[std::string(Stem(mask))].push_back(mask);
    if (const std::optional<MaskName> name = ReadMaskName(mask)) named[name->image].push_back(mask);
  }
  std::map<std::string, std::vector<std::string>> by_image;
  for (const std::string& image : images) {
    for (const auto* index : {&same, &named}) {
      for (const std::string& key : KeysOf(image)) {
        const auto found = index->find(key);
        if (found != index->end()) by_image.try_emplace(image, found->second);
      }
    }
  }
  return by_image;
}

}  // namespace proad::model
