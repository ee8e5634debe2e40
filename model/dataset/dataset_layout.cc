#include "model/dataset/dataset_layout.h"

#include <algorithm>

#include "model/dataset/label_words.h"

namespace proad::model {
namespace {

using Listing = DatasetRoot::Listing;

bool HasSplits(const Listing& folder) {
  return std::any_of(folder.folders.begin(), folder.folders.end(), [](const std::string& name) {
    const FolderRole role = ReadFolderRole(name);
    return role == FolderRole::kTrain || role == FolderRole::kTest;
  });
}
bool HasImages(const Listing& folder) { return folder.HasImages(); }
bool IsPlainFolder(const Listing& folder) { return folder.HasImages() || HasSplits(folder); }
bool HasRealIadLists(const Listing& root) { return root.HasFolder(kRealIadLists); }
bool HasVisaLists(const Listing& root) { return root.HasFolder("split_csv"); }
bool HasVisaAnnotations(const Listing& category) { return category.HasFile("image_anno.csv"); }
bool HasCsvList(const Listing& root) { return root.HasFile(kCsvListName); }
bool HasVisa1cls(const Listing& root) { return root.HasFolder(kVisa1clsFolder); }

constexpr LayoutTraits kLayouts[] = {
    {DatasetFormat::kMvtec, "mvtec", "", nullptr, HasSplits, OpenMvtecLayout},
    {DatasetFormat::kRealIad, "real_iad", ".json", HasRealIadLists, nullptr, OpenRealIadLayout},
    {DatasetFormat::kVisa, "visa", "", HasVisaLists, HasVisaAnnotations, OpenVisaLayout},
    {DatasetFormat::kCsv, "csv", ".csv", HasCsvList, nullptr, OpenCsvLayout},
    {DatasetFormat::kVisa1cls, "visa_1cls", "", HasVisa1cls, nullptr, OpenVisa1clsLayout},
    {DatasetFormat::kFolder, "folder", "", IsPlainFolder, HasImages, OpenFolderLayout},
};

}  // namespace

std::span<const LayoutTraits> DatasetLayouts() { return kLayouts; }

}  // namespace proad::model
