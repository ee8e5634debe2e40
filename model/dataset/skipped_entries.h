// Files and folders of a dataset that are not read because of their names. The rule is that of
// `proad detect FOLDER` (client/cli/skipped_files.h).
//
// No LibTorch. Plain values and pure functions.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

namespace proad::model {

enum class SkipReason {
  kOwnOutput,  // written by `proad detect`: overlays and heatmaps
  kSystem,     // made by a file server or an operating system, for example thumbnails
  kHidden,     // the name begins with a dot
};

// "own_output", "system", "hidden".
const char* NameOf(SkipReason reason);

// For people, for example "written by proad detect".
const char* DescriptionOf(SkipReason reason);

// The endings of names of images, sorted and in lower case. A program that selects files by their
// name (proad detect, uploads) has the same endings.
std::span<const char* const> ImageEndings();

// Whether the name has one of them, in any case.
bool IsImageName(std::string_view name);

// The reason to skip an entry because of its name, nullopt for none. `name` has no folder. Files
// that are not images have no reason here, because lists and notes lie beside images.
std::optional<SkipReason> ReasonToSkip(std::string_view name, bool is_folder);

// Names below the root by reason, without repetition.
using SkippedEntries = std::map<SkipReason, std::set<std::string>>;

}  // namespace proad::model
