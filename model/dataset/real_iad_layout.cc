// Real-IAD: the images in realiad_1024/CATEGORY and one list for each category,
// realiad_jsons/CATEGORY.json.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "model/dataset/dataset_layout.h"
#include "model/dataset/listed_sample.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

using nlohmann::json;

// The folder of the images; published figures use realiad_1024, so it comes first.
std::string ImageFolder(const DatasetRoot& root) {
  for (const char* name : {"realiad_1024", "realiad_raw", "realiad_512", "realiad_256"}) {
    if (root.IsFolder(name)) return name;
  }
  RefuseDataset("DATASET_LAYOUT", Quote(root.path().string()) +
                                      " looks like Real-IAD but has no folder realiad_1024 (or "
                                      "realiad_raw, realiad_512, realiad_256)");
}

// Category and list of each JSON file.
std::vector<std::pair<std::string, std::string>> Lists(DatasetRoot& root) {
  std::string folder = kRealIadLists;
  if (!root.IsFolder(folder)) {
    RefuseDataset("DATASET_LAYOUT", Quote(root.path().string()) +
                                        " looks like Real-IAD but has no folder realiad_jsons");
  }
  if (root.IsFolder(JoinNames(folder, folder))) folder = JoinNames(folder, folder);
  std::vector<std::pair<std::string, std::string>> lists;
  for (const std::string& file : root.List(folder).files) {
    if (file.ends_with(".json"))
      lists.emplace_back(file.substr(0, file.size() - 5), JoinNames(folder, file));
  }
  return lists;
}

json ParseList(DatasetRoot& root, const std::string& list, const DatasetOptions& options) {
  const std::string text = root.ReadList(list, options.max_list_bytes);
  try {
    return ParseStrictJson(text, list, {.depth = 8, .array_length = options.max_files});
  } catch (const CorruptFile& error) {
    RefuseDataset("JSON_DAMAGED", error.what());
  }
}

// The string under `key`. `may_be_null`: null is read as "".
std::string Text(const json& entry, const std::string& key, const std::string& where,
                 bool may_be_null = false) {
  const auto found = entry.find(key);
  if (found == entry.end())
    RefuseDataset("JSON_FIELD", where + ": the key \"" + key + "\" is missing");
  if (found->is_null() && may_be_null) return "";
  if (!found->is_string() || found->get_ref<const std::string&>().empty())
    RefuseDataset("JSON_FIELD", where + "." + key + " must be a string that is not empty");
  return *found;
}

Sample ReadEntry(const DatasetRoot& root, const json& entry, const std::string& where,
                 const std::string& category, Split split) {
  if (!entry.is_object()) RefuseDataset("JSON_FIELD", where + " must be an object");
  if (const std::string stated = Text(entry, "category", where); stated != category) {
    RefuseDataset("JSON_FIELD", where + ".category is " + Quote(stated) +
                                    ", but the list is named for " + Quote(category));
  }
  const std::string anomaly_class = Text(entry, "anomaly_class", where);
  const std::string mask = Text(entry, "mask_path", where, true);
  const std::string folder = ImageFolder(root) + "/" + category + "/";
  return MakeSample(root, {.where = where,
                           .image = folder + Text(entry, "image_path", where),
                           .mask = mask.empty() ? "" : folder + mask,
                           .category = category,
                           .split = split,
                           .defect = ParseLabel(anomaly_class, where),
                           .label = anomaly_class});
}

}  // namespace

DatasetLayout OpenRealIadLayout(const DatasetEntry& entry) {
  DatasetRoot& root = entry.root;
  std::vector<std::pair<std::string, std::string>> lists;
  if (entry.list) {
    lists.emplace_back(std::filesystem::path(*entry.list).stem().string(), *entry.list);
  } else {
    lists = Lists(root);
  }
  DatasetLayout layout;
  for (const auto& [category, file] : lists) layout.categories.push_back(category);
  layout.read = [&root, lists, options = entry.options](const std::string& category,
                                                        std::vector<Sample>& samples) {
    const auto found = std::find_if(lists.begin(), lists.end(),
                                    [&](const auto& known) { return known.first == category; });
    const std::string& file = found->second;
    const json parsed = ParseList(root, file, options);
    for (const Split split : {Split::kTrain, Split::kTest}) {
      const char* key = NameOf(split);
      if (!parsed.is_object() || !parsed.contains(key) || !parsed[key].is_array())
        RefuseDataset("JSON_FIELD", file + ": the list \"" + key + "\" is missing");
      root.Count(parsed[key].size());
      for (size_t i = 0; i < parsed[key].size(); ++i) {
        samples.push_back(ReadEntry(root, parsed[key][i],
                                    file + ": " + key + "[" + std::to_string(i) + "]", category,
                                    split));
      }
    }
  };
  return layout;
}

}  // namespace proad::model
