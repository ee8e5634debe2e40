#include "model/dataset/dataset.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "model/dataset/category_name.h"
#include "model/dataset/dataset_layout.h"
#include "model/dataset/dataset_root.h"
#include "model/dataset/mask_names.h"
#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxCategories = 1000;
constexpr char kAutoName[] = "auto";

// The first 20 names, in quotes.
std::string Enumerate(const std::vector<std::string>& names) {
  constexpr size_t kShown = 20;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + Quote(names[i]);
  return text + (names.size() > kShown ? " and more" : "");
}

// The folder of the dataset at a path, and the list if the path is one.
struct Location {
  fs::path root;
  std::optional<std::string> list;
};

// ROOT/realiad_jsons/CATEGORY.json, or one level deeper. Other JSON files are refused, so that a
// list cannot name files beside its own folder.
Location LocateRealIadList(const fs::path& list) {
  fs::path root = list.parent_path();
  if (!root.filename().string().starts_with(kRealIadLists)) {
    RefuseDataset("DATASET_LAYOUT", "the list " + Quote(list.string()) +
                                        " must lie in a folder realiad_jsons, beside the folder "
                                        "of its images (Real-IAD)");
  }
  while (root.filename().string().starts_with(kRealIadLists)) root = root.parent_path();
  return {root, list.lexically_relative(root).generic_string()};
}

Location Locate(const fs::path& path) {
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  if (error) {
    RefuseDataset("DATASET_FILE_MISSING",
                  "the dataset " + Quote(path.string()) + " cannot be opened: " + error.message());
  }
  if (fs::is_directory(canonical)) return {canonical, std::nullopt};
  const std::string name = canonical.filename().string();
  if (fs::is_regular_file(canonical) && ToLowerAscii(name).ends_with(".csv"))
    return {canonical.parent_path(), name};
  if (fs::is_regular_file(canonical) && name.ends_with(".json"))
    return LocateRealIadList(canonical);
  RefuseDataset("DATASET_LAYOUT", "the dataset " + Quote(path.string()) +
                                      " is neither a folder nor a CSV or JSON file");
}

const LayoutTraits& Recognise(DatasetRoot& root) {
  const DatasetRoot::Listing top = root.List("");
  for (const LayoutTraits& layout : DatasetLayouts()) {
    if (layout.matches_root != nullptr && layout.matches_root(top)) return layout;
  }
  for (const std::string& folder : top.folders) {
    const DatasetRoot::Listing inside = root.List(folder);
    for (const LayoutTraits& layout : DatasetLayouts()) {
      if (layout.matches_category != nullptr && layout.matches_category(inside)) return layout;
    }
  }
  RefuseDataset("DATASET_LAYOUT",
                "no dataset is recognised in " + Quote(root.path().string()) +
                    ": expected a folder of good images, CATEGORY/train/good and "
                    "CATEGORY/test/DEFECT (MVTec-AD), split_csv/1cls.csv (VisA), realiad_jsons "
                    "(Real-IAD) or dataset.csv");
}

const LayoutTraits& ChooseLayout(DatasetRoot& root, const std::optional<std::string>& list,
                                 DatasetFormat format) {
  for (const LayoutTraits& layout : DatasetLayouts()) {
    const bool takes_list =
        list && *layout.list_ending != 0 && ToLowerAscii(*list).ends_with(layout.list_ending);
    if (format == DatasetFormat::kAuto ? takes_list : layout.format == format) {
      if (!list || takes_list) return layout;
      RefuseDataset("DATASET_LAYOUT", std::string("the format \"") + layout.name +
                                          "\" takes a folder, not the list " + Quote(*list));
    }
  }
  return Recognise(root);
}

std::vector<std::string> ChooseCategories(const DatasetLayout& layout,
                                          const DatasetOptions& options) {
  std::set<std::string> chosen(options.categories.begin(), options.categories.end());
  for (const std::string& category : chosen) {
    if (std::count(layout.categories.begin(), layout.categories.end(), category) == 0) {
      throw InvalidInput("categories", "CATEGORY_UNKNOWN",
                         "the dataset has no category " + Quote(category) + "; it has " +
                             Enumerate(layout.categories));
    }
  }
  if (chosen.empty()) chosen.insert(layout.categories.begin(), layout.categories.end());
  if (chosen.size() > kMaxCategories) {
    RefuseDataset("DATASET_TOO_LARGE", std::to_string(chosen.size()) +
                                           " categories; a model takes at most " +
                                           std::to_string(kMaxCategories));
  }
  for (const std::string& category : chosen) {
    if (const std::string problem = CategoryNameProblem(category); !problem.empty()) {
      RefuseDataset("CATEGORY_NAME",
                    "the name of the category " + Quote(category) + " " + problem + "; rename it");
    }
  }
  return {chosen.begin(), chosen.end()};
}

void CheckNamesAreUnique(const std::vector<Sample>& samples) {
  std::set<std::string_view> names;
  for (const Sample& sample : samples) {
    if (!names.insert(sample.name).second) {
      RefuseDataset("DATASET_DUPLICATE", "the image " + Quote(sample.name) + " is listed twice");
    }
  }
}

// A list may name masks as images. The readers of folders have paired or refused them.
void CheckNoMaskIsAnImage(const std::vector<Sample>& samples) {
  std::map<fs::path, std::string> images_by_mask;
  std::map<std::string, std::vector<std::string>> files_by_folder;
  for (const Sample& sample : samples) {
    if (sample.mask) images_by_mask.emplace(*sample.mask, sample.name);
    const fs::path name(sample.name);
    files_by_folder[name.parent_path().generic_string()].push_back(name.filename().string());
  }
  const auto refuse = [](const std::string& mask, const std::string& image) {
    RefuseDataset("DATASET_NOT_A_PICTURE",
                  Quote(mask) + " is the mask of " + Quote(image) +
                      " and cannot be an image too; name it in the column \"mask\", or rename it");
  };
  for (const Sample& sample : samples) {
    const auto image = images_by_mask.find(sample.path);
    if (image != images_by_mask.end()) refuse(sample.name, image->second);
  }
  for (const auto& [folder, files] : files_by_folder) {
    const PairedFiles paired = PairFiles(files);
    if (paired.masks.empty()) continue;
    const auto& [image, masks] = *paired.masks.begin();
    refuse(JoinNames(folder, masks.front()), JoinNames(folder, image));
  }
}

}  // namespace

const char* NameOf(DatasetFormat format) {
  for (const LayoutTraits& layout : DatasetLayouts()) {
    if (layout.format == format) return layout.name;
  }
  return kAutoName;
}

DatasetFormat ParseDatasetFormat(const std::string& name) {
  if (name == kAutoName) return DatasetFormat::kAuto;
  std::vector<std::string> names = {kAutoName};
  for (const LayoutTraits& layout : DatasetLayouts()) {
    if (name == layout.name) return layout.format;
    names.push_back(layout.name);
  }
  throw InvalidInput("dataset_format", "DATASET_FORMAT_UNKNOWN",
                     "the dataset format " + Quote(name) + " is none of " + Enumerate(names));
}

const char* NameOf(Split split) { return split == Split::kTrain ? "train" : "test"; }

Dataset OpenDataset(const fs::path& path, const DatasetOptions& options) {
  const Location location = Locate(path);
  DatasetRoot root(location.root, options.max_files);
  const LayoutTraits& traits = ChooseLayout(root, location.list, options.format);
  const DatasetLayout layout =
      traits.open({.root = root, .options = options, .list = location.list});

  Dataset dataset{.root = root.path(),
                  .format = traits.format,
                  .categories = ChooseCategories(layout, options),
                  .samples = {},
                  .ignored = {},
                  .skipped = {}};
  for (const std::string& category : dataset.categories) {
    const size_t before = dataset.samples.size();
    layout.read(category, dataset.samples);
    if (dataset.samples.size() == before) {
      RefuseDataset("DATASET_EMPTY", "the category " + Quote(category) + " in " +
                                         Quote(root.path().string()) +
                                         " has no images (read as \"" + traits.name +
                                         "\"; PNG, JPEG, BMP, TIFF, WebP)");
    }
  }
  if (dataset.samples.empty()) {
    RefuseDataset("DATASET_EMPTY", "the dataset in " + Quote(root.path().string()) +
                                       " has no images (read as \"" + traits.name + "\")");
  }
  std::sort(dataset.samples.begin(), dataset.samples.end(), [](const Sample& a, const Sample& b) {
    return std::tie(a.category, a.split, a.name) < std::tie(b.category, b.split, b.name);
  });
  CheckNamesAreUnique(dataset.samples);
  CheckNoMaskIsAnImage(dataset.samples);
  dataset.ignored = root.ignored();
  dataset.skipped = root.skipped();
  return dataset;
}

void CheckTrainable(const Dataset& dataset) {
  std::set<std::string> without(dataset.categories.begin(), dataset.categories.end());
  for (const Sample& sample : dataset.samples) {
    if (sample.good && sample.split == Split::kTrain) without.erase(sample.category);
  }
  if (!without.empty()) {
    RefuseDataset("DATASET_NOT_TRAINABLE", "the dataset in " + Quote(dataset.root.string()) +
                                               " has no good images in the split \"train\" for " +
                                               Enumerate({without.begin(), without.end()}));
  }
}

void CheckEvaluable(const Dataset& dataset) {
  std::map<std::string, std::pair<bool, bool>> kinds;  // good, defective
  for (const Sample& sample : dataset.samples) {
    if (sample.split != Split::kTest) continue;
    (sample.good ? kinds[sample.category].first : kinds[sample.category].second) = true;
  }
  for (const auto& [category, has] : kinds) {
    if (has.first && has.second) return;
  }
  RefuseDataset("DATASET_ONE_CLASS",
                "no category in " + Quote(dataset.root.string()) +
                    " has both good and defective images in the split \"test\"; "
                    "figures need both");
}

}  // namespace proad::model
