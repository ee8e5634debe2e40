// Pairs masks with images by the names of their files: 000.png with 000_mask.png, 000-GT.bmp,
// 000.mask.png, 000_label_1.png or mask_000.png.
//
// No LibTorch. Pure functions: safe to call from any thread.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace proad::model {

// The files of one folder that holds images, and perhaps masks beside them.
struct PairedFiles {
  std::vector<std::string> images;                        // in the order of the files
  std::map<std::string, std::vector<std::string>> masks;  // of each image that has some
  std::vector<std::string> orphans;  // named as masks, without an image; also in `images`
};

// A file is a mask if it is named for an image beside it. Names with "label" or "seg" without such
// an image may be those of images; they are orphans only if the folder has masks beside images.
PairedFiles PairFiles(const std::vector<std::string>& files);

// Returns for each image the masks among `masks`, the files of another folder, that belong to it:
// those with its stem or its whole name, or else those that are named for it.
std::map<std::string, std::vector<std::string>> MasksByImage(const std::vector<std::string>& images,
                                                             const std::vector<std::string>& masks);

}  // namespace proad::model
