// Reads the folder of one category with train/good, test/DEFECT and ground_truth/DEFECT, the
// structure that MVTec-AD, rearranged VisA and plain folders share.
//
// No LibTorch. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/dataset_root.h"

namespace proad::model {

// Appends the samples of `folder`, a folder of `root` ("" for the root itself). `loose`: good
// images may also lie in the folder itself or in its folder train. Throws as OpenDataset does.
void ReadCategoryFolder(DatasetRoot& root, const std::string& folder, const std::string& category,
                        bool loose, std::vector<Sample>& samples);

}  // namespace proad::model
