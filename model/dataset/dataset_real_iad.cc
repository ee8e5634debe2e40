// Real-IAD's layout: one JSON file a category says what its pictures are.
#include <algorithm>
#include <memory>
#include <utility>

#include "model/dataset/dataset_layouts.h"
#include "model/files/error.h"
#include "model/files/strict_json.h"

namespace proad::model {
namespace {

using nlohmann::json;

constexpr char kGoodClass[] = "OK";

// The folder of the pictures: the one that published figures are made on before the others.
std::string PictureFolder(const DatasetTree& tree) {
  for (const char* name : {"realiad_1024", "realiad_raw", "realiad_512", "realiad_256"}) {
    if (tree.IsFolder(name)) return name;
  }
  RefuseDataset("DATASET_LAYOUT", Quote(tree.root().string()) +
                                      " looks like Real-IAD but has no folder realiad_1024 (or "
                                      "realiad_raw, realiad_512, realiad_256)");
}

// Category and list of each JSON file.
std::vector<std::pair<std::string, std::string>> Lists(DatasetTree& tree) {
  std::string folder = "realiad_jsons";
  if (!tree.IsFolder(folder)) {
    RefuseDataset("DATASET_LAYOUT", Quote(tree.root().string()) +
                                        " looks like Real-IAD but has no folder realiad_jsons");
  }
  if (tree.IsFolder("realiad_jsons/realiad_jsons")) folder = "realiad_jsons/realiad_jsons";
  std::vector<std::pair<std::string, std::string>> lists;
  for (const std::string& file : tree.List(folder).files) {
    if (file.ends_with(".json"))
      lists.emplace_back(file.substr(0, file.size() - 5), JoinNames(folder, file));
  }
  return lists;
}

json ParseList(DatasetTree& tree, const std::string& list, const DatasetOptions& options) {
  const std::string text = tree.ReadList(list, options.max_list_bytes);
  try {
    return ParseStrictJson(text, list, {.depth = 8, .array_length = options.max_files});
  } catch (const CorruptFile& error) {
    RefuseDataset("JSON_DAMAGED", error.what());
  }
}

// The text under `key`; null only where `may_be_null`, as "".
std::string Text(const json& entry, const std::string& key, const std::string& where,
                 bool may_be_null = false) {
  const auto found = entry.find(key);
  if (found == entry.end())
    RefuseDataset("JSON_FIELD", where + ": the key \"" + key + "\" is missing");
  if (found->is_null() && may_be_null) return "";
  if (!found->is_string() || found->get_ref<const std::string&>().empty())
    RefuseDataset("JSON_FIELD", where + "." + key + " must be a text that is not empty");
  return *found;
}

Sample ReadEntry(const DatasetTree& tree, const json& entry, const std::string& where,
                 const std::string& category, Split split) {
  if (!entry.is_object()) RefuseDataset("JSON_FIELD", where + " must be an object");
  if (const std::string stated = Text(entry, "category", where); stated != category) {
    RefuseDataset("JSON_FIELD", where + ".category is " + Quote(stated) +
                                    ", but the file is named for " + Quote(category));
  }
  const std::string anomaly_class = Text(entry, "anomaly_class", where);
  const std::string mask = Text(entry, "mask_path", where, true);
  const std::string folder = PictureFolder(tree) + "/" + category + "/";
  return MakeSample(tree, {.where = where,
                           .image = folder + Text(entry, "image_path", where),
                           .mask = mask.empty() ? "" : folder + mask,
                           .category = category,
                           .split = split,
                           .defect = anomaly_class == kGoodClass ? "" : anomaly_class});
}

}  // namespace

DatasetLayout RealIadLayout(DatasetTree& tree, const std::optional<std::string>& list,
                            const DatasetOptions& options) {
  std::vector<std::pair<std::string, std::string>> lists;
  if (list) {
    lists.emplace_back(std::filesystem::path(*list).stem().string(), *list);
  } else {
    lists = Lists(tree);
  }
  DatasetLayout layout{.format = DatasetFormat::kRealIad, .categories = {}, .read = nullptr};
  for (const auto& [category, file] : lists) layout.categories.push_back(category);
  layout.read = [&tree, lists, options](const std::string& category, std::vector<Sample>& samples) {
    const auto found = std::find_if(lists.begin(), lists.end(),
                                    [&](const auto& entry) { return entry.first == category; });
    const std::string& file = found->second;
    const json parsed = ParseList(tree, file, options);
    for (const Split split : {Split::kTrain, Split::kTest}) {
      const char* key = NameOf(split);
      if (!parsed.is_object() || !parsed.contains(key) || !parsed[key].is_array())
        RefuseDataset("JSON_FIELD", file + ": the list \"" + key + "\" is missing");
      tree.Count(parsed[key].size());
      for (size_t i = 0; i < parsed[key].size(); ++i) {
        samples.push_back(ReadEntry(tree, parsed[key][i],
                                    file + ": " + key + "[" + std::to_string(i) + "]", category,
                                    split));
      }
    }
  };
  return layout;
}

}  // namespace proad::model
