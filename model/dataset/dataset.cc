#include "model/dataset/dataset.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include "model/dataset/dataset_layouts.h"
#include "model/dataset/dataset_tree.h"
#include "model/files/error.h"
#include "model/files/strict_json.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxCategories = 1000;
constexpr size_t kMaxCategoryBytes = 128;
constexpr char kCsvName[] = "dataset.csv";
constexpr char kRealIadLists[] = "realiad_jsons";

constexpr std::array<std::pair<DatasetFormat, const char*>, 7> kFormats = {{
    {DatasetFormat::kAuto, "auto"},
    {DatasetFormat::kMvtec, "mvtec"},
    {DatasetFormat::kVisa, "visa"},
    {DatasetFormat::kVisa1cls, "visa_1cls"},
    {DatasetFormat::kRealIad, "real_iad"},
    {DatasetFormat::kFolder, "folder"},
    {DatasetFormat::kCsv, "csv"},
}};

// Names in quotes, the first of them.
std::string Enumerate(const std::vector<std::string>& names) {
  constexpr size_t kShown = 20;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + Quote(names[i]);
  return text + (names.size() > kShown ? " and more" : "");
}

// The list within the tree when `path` is a file, and the tree's root.
struct Entrance {
  fs::path root;
  std::optional<std::string> csv;
  std::optional<std::string> json;
};

Entrance FindEntrance(const fs::path& path) {
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  if (error) {
    RefuseDataset("DATASET_FILE_MISSING",
                  "the dataset " + Quote(path.string()) + " cannot be opened: " + error.message());
  }
  if (fs::is_directory(canonical)) return {.root = canonical, .csv = {}, .json = {}};
  const std::string name = canonical.filename().string();
  if (fs::is_regular_file(canonical) && ToLowerAscii(name).ends_with(".csv"))
    return {.root = canonical.parent_path(), .csv = name, .json = {}};
  if (fs::is_regular_file(canonical) && name.ends_with(".json")) {
    // ROOT/realiad_jsons/CATEGORY.json, or one level deeper. Nothing else, lest a list reach what
    // lies beside its folder.
    fs::path root = canonical.parent_path();
    if (!root.filename().string().starts_with(kRealIadLists)) {
      RefuseDataset("DATASET_LAYOUT", "the list " + Quote(path.string()) +
                                          " must lie in a folder realiad_jsons, beside the folder "
                                          "of its pictures (Real-IAD)");
    }
    while (root.filename().string().starts_with(kRealIadLists)) root = root.parent_path();
    return {.root = root, .csv = {}, .json = canonical.lexically_relative(root).generic_string()};
  }
  RefuseDataset("DATASET_LAYOUT", "the dataset " + Quote(path.string()) +
                                      " is neither a folder nor a CSV or JSON file");
}

DatasetFormat Recognise(DatasetTree& tree, const Entrance& entrance) {
  if (entrance.csv) return DatasetFormat::kCsv;
  if (entrance.json) return DatasetFormat::kRealIad;
  const DatasetTree::Listing top = tree.List("");
  if (top.HasFolder(kRealIadLists)) return DatasetFormat::kRealIad;
  if (top.HasFolder("split_csv")) return DatasetFormat::kVisa;
  if (top.HasFile(kCsvName)) return DatasetFormat::kCsv;
  if (top.HasFolder("1cls")) return DatasetFormat::kVisa1cls;
  if (top.HasPictures() || top.HasFolder("train") || top.HasFolder("test"))
    return DatasetFormat::kFolder;
  for (const std::string& folder : top.folders) {
    const DatasetTree::Listing inside = tree.List(folder);
    if (inside.HasFolder("train") || inside.HasFolder("test")) return DatasetFormat::kMvtec;
    if (inside.HasFile("image_anno.csv")) return DatasetFormat::kVisa;
    if (inside.HasPictures()) return DatasetFormat::kFolder;
  }
  RefuseDataset("DATASET_LAYOUT",
                "no dataset is recognised in " + Quote(tree.root().string()) +
                    ": expected a folder of good pictures, CATEGORY/train/good and "
                    "CATEGORY/test/DEFECT (MVTec-AD), split_csv/1cls.csv (VisA), realiad_jsons "
                    "(Real-IAD) or dataset.csv");
}

// The CSV file of a folder that is said to have one.
std::string FindCsv(DatasetTree& tree) {
  const DatasetTree::Listing top = tree.List("");
  if (top.HasFile(kCsvName)) return kCsvName;
  std::vector<std::string> found;
  for (const std::string& file : top.files) {
    if (ToLowerAscii(file).ends_with(".csv")) found.push_back(file);
  }
  if (found.size() == 1) return found.front();
  RefuseDataset("DATASET_LAYOUT", Quote(tree.root().string()) + " has " +
                                      std::to_string(found.size()) +
                                      " CSV files: name the one, or call it dataset.csv");
}

DatasetLayout OpenLayout(DatasetTree& tree, const Entrance& entrance, DatasetFormat format,
                         const DatasetOptions& options) {
  const bool is_list = entrance.csv || entrance.json;
  if (is_list && format != (entrance.csv ? DatasetFormat::kCsv : DatasetFormat::kRealIad)) {
    RefuseDataset("DATASET_LAYOUT",
                  std::string("the format \"") + NameOf(format) + "\" takes a folder, not a list");
  }
  switch (format) {
    case DatasetFormat::kMvtec:
      return MvtecLayout(tree, "", format);
    case DatasetFormat::kVisa1cls:
      return MvtecLayout(tree, tree.List("").HasFolder("1cls") ? "1cls" : "", format);
    case DatasetFormat::kVisa:
      return VisaLayout(tree, options);
    case DatasetFormat::kRealIad:
      return RealIadLayout(tree, entrance.json, options);
    case DatasetFormat::kCsv:
      return CsvLayout(tree, entrance.csv ? *entrance.csv : FindCsv(tree), options);
    case DatasetFormat::kFolder:
    case DatasetFormat::kAuto:
      break;
  }
  return FolderLayout(tree);
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
    if (category.empty() || category.size() > kMaxCategoryBytes || !IsUtf8(category)) {
      RefuseDataset("CATEGORY_NAME", "the category " + Quote(category) + " must have 1 to " +
                                         std::to_string(kMaxCategoryBytes) + " bytes of UTF-8");
    }
  }
  return {chosen.begin(), chosen.end()};
}

void CheckNamesAreUnique(const std::vector<Sample>& samples) {
  std::set<std::string_view> names;
  for (const Sample& sample : samples) {
    if (!names.insert(sample.name).second) {
      RefuseDataset("DATASET_DUPLICATE", "the picture " + Quote(sample.name) + " is listed twice");
    }
  }
}

}  // namespace

const char* NameOf(DatasetFormat format) {
  for (const auto& [known, name] : kFormats) {
    if (known == format) return name;
  }
  return "unknown";
}

DatasetFormat ParseDatasetFormat(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [format, known] : kFormats) {
    if (known == name) return format;
    names.push_back(known);
  }
  throw InvalidInput("dataset_format", "DATASET_FORMAT_UNKNOWN",
                     "the dataset format " + Quote(name) + " is none of " + Enumerate(names));
}

const char* NameOf(Split split) { return split == Split::kTrain ? "train" : "test"; }

Dataset OpenDataset(const fs::path& path, const DatasetOptions& options) {
  const Entrance entrance = FindEntrance(path);
  DatasetTree tree(entrance.root, options.max_files);
  const DatasetFormat format =
      options.format == DatasetFormat::kAuto ? Recognise(tree, entrance) : options.format;
  const DatasetLayout layout = OpenLayout(tree, entrance, format, options);

  Dataset dataset{.root = tree.root(),
                  .format = layout.format,
                  .categories = ChooseCategories(layout, options),
                  .samples = {},
                  .ignored = {}};
  for (const std::string& category : dataset.categories) {
    const size_t before = dataset.samples.size();
    layout.read(category, dataset.samples);
    if (dataset.samples.size() == before) {
      RefuseDataset("DATASET_EMPTY", "the category " + Quote(category) + " in " +
                                         Quote(tree.root().string()) + " has no pictures (as \"" +
                                         NameOf(format) + "\"; PNG, JPEG, BMP, TIFF, WebP)");
    }
  }
  if (dataset.samples.empty()) {
    RefuseDataset("DATASET_EMPTY", "the dataset in " + Quote(tree.root().string()) +
                                       " has no pictures (as \"" + NameOf(format) + "\")");
  }
  std::sort(dataset.samples.begin(), dataset.samples.end(), [](const Sample& a, const Sample& b) {
    return std::tie(a.category, a.split, a.name) < std::tie(b.category, b.split, b.name);
  });
  CheckNamesAreUnique(dataset.samples);
  dataset.ignored = tree.ignored();
  return dataset;
}

void CheckTrainable(const Dataset& dataset) {
  std::set<std::string> without(dataset.categories.begin(), dataset.categories.end());
  for (const Sample& sample : dataset.samples) {
    if (sample.good && sample.split == Split::kTrain) without.erase(sample.category);
  }
  if (!without.empty()) {
    RefuseDataset("DATASET_NOT_TRAINABLE",
                  "the dataset in " + Quote(dataset.root.string()) +
                      " has no good pictures to train on (split \"train\") for " +
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
  RefuseDataset("DATASET_ONE_CLASS", "no category in " + Quote(dataset.root.string()) +
                                         " has both good and defective pictures to test on (split "
                                         "\"test\"): figures need both");
}

}  // namespace proad::model
