#include "model/dataset/skipped_entries.h"

#include <algorithm>
#include <iterator>

#include "model/files/text.h"

namespace proad::model {
namespace {

// In lower case.
constexpr std::string_view kSystemFolders[] = {
    "@eadir",   "@recycle",   "@recently-snapshot",   "@tmp",
    "#recycle", "#snapshot",  "$recycle.bin",         "__macosx",
    "_vti_cnf", "lost+found", "network trash folder", "system volume information"};
constexpr std::string_view kSystemFiles[] = {"desktop.ini", "ehthumbs.db", "thumbs.db"};
constexpr std::string_view kOutputEndings[] = {".overlay.png", ".heatmap.png", ".heatmap.json",
                                               ".heatmap.f32", ".heatmap.u16", ".heatmap.u8"};

template <size_t kSize>
bool Contains(const std::string_view (&names)[kSize], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

const char* NameOf(SkipReason reason) {
  switch (reason) {
    case SkipReason::kOwnOutput:
      return "own_output";
    case SkipReason::kSystem:
      return "system";
    case SkipReason::kHidden:
      return "hidden";
  }
  return "unknown";
}

const char* DescriptionOf(SkipReason reason) {
  switch (reason) {
    case SkipReason::kOwnOutput:
      return "written by proad detect";
    case SkipReason::kSystem:
      return "made by a file server or operating system";
    case SkipReason::kHidden:
      return "hidden";
  }
  return "";
}

std::span<const char* const> ImageEndings() {
  static constexpr const char* kEndings[] = {".bmp", ".dib", ".jfif", ".jpe",  ".jpeg",
                                             ".jpg", ".png", ".tif",  ".tiff", ".webp"};
  return kEndings;
}

bool IsImageName(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return false;
  const std::string ending = ToLowerAscii(name.substr(dot));
  return std::find(ImageEndings().begin(), ImageEndings().end(), ending) != ImageEndings().end();
}

std::optional<SkipReason> ReasonToSkip(std::string_view name, bool is_folder) {
  if (name.starts_with('.')) return SkipReason::kHidden;
  const std::string lower = ToLowerAscii(name);
  if (is_folder) {
    if (Contains(kSystemFolders, lower)) return SkipReason::kSystem;
    return std::nullopt;
  }
  if (Contains(kSystemFiles, lower)) return SkipReason::kSystem;
  for (const std::string_view ending : kOutputEndings) {
    if (name.size() > ending.size() && name.ends_with(ending)) return SkipReason::kOwnOutput;
  }
  return std::nullopt;
}

}  // namespace proad::model
