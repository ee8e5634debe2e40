#include "client/cli/skipped_files.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/image_names.h"

namespace proad::client {
namespace {

constexpr size_t kMaxPaths = 5;

// In lower case.
constexpr std::array<absl::string_view, 12> kSystemFolders = {
    "@eadir",   "@recycle",   "@recently-snapshot",   "@tmp",
    "#recycle", "#snapshot",  "$recycle.bin",         "__macosx",
    "_vti_cnf", "lost+found", "network trash folder", "system volume information"};
constexpr std::array<absl::string_view, 3> kSystemFiles = {"desktop.ini", "ehthumbs.db",
                                                           "thumbs.db"};

template <size_t kSize>
bool Contains(const std::array<absl::string_view, kSize>& names, absl::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string NameOf(SkipReason reason) {
  switch (reason) {
    case SkipReason::kNotAnImage:
      return "not_an_image";
    case SkipReason::kLinkedFolder:
      return "linked_folder";
    case SkipReason::kOwnOutput:
      return "own_output";
    case SkipReason::kMaskFolder:
      return "mask_folder";
    case SkipReason::kSystem:
      return "system";
    case SkipReason::kHidden:
      return "hidden";
    case SkipReason::kNotAFile:
      return "not_a_file";
  }
  return "unknown";
}

std::string DescriptionOf(SkipReason reason) {
  switch (reason) {
    case SkipReason::kNotAnImage:
      return "without the extension of an image";
    case SkipReason::kLinkedFolder:
      return "links to folders (name a folder on the command line to inspect it)";
    case SkipReason::kOwnOutput:
      return "written by proad detect";
    case SkipReason::kMaskFolder:
      return "folders with masks";
    case SkipReason::kSystem:
      return "made by a file server or operating system";
    case SkipReason::kHidden:
      return "hidden";
    case SkipReason::kNotAFile:
      return "neither files nor folders";
  }
  return "";
}

std::optional<SkipReason> ReasonToSkip(const std::filesystem::path& path, bool is_folder) {
  const std::string name = absl::AsciiStrToLower(path.filename().string());
  if (name.starts_with(".")) return SkipReason::kHidden;
  if (is_folder) {
    if (name == "ground_truth") return SkipReason::kMaskFolder;
    if (Contains(kSystemFolders, name)) return SkipReason::kSystem;
    return std::nullopt;
  }
  if (Contains(kSystemFiles, name)) return SkipReason::kSystem;
  if (IsOwnOutput(path)) return SkipReason::kOwnOutput;
  if (!HasImageExtension(path)) return SkipReason::kNotAnImage;
  return std::nullopt;
}

bool IsOwnOutput(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  for (const std::string_view ending : {".overlay.png", ".heatmap.png", ".heatmap.json",
                                        ".heatmap.f32", ".heatmap.u16", ".heatmap.u8"}) {
    if (name.size() > ending.size() && name.ends_with(ending)) return true;
  }
  return false;
}

void SkippedFiles::Add(SkipReason reason, const std::filesystem::path& path, bool is_folder) {
  Group& group = groups_[reason];
  ++group.count;
  if (group.paths.size() < kMaxPaths) {
    group.paths.push_back(absl::StrCat(path.string(), is_folder ? "/" : ""));
  }
}

size_t SkippedFiles::count() const {
  size_t count = 0;
  for (const auto& [reason, group] : groups_) count += group.count;
  return count;
}

}  // namespace proad::client
