// Reads every file of a dataset and reports its problems, before a job depends on it.
//
// No LibTorch. Safe to call from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/dataset/mask_check.h"
#include "model/picture/image_limits.h"

namespace proad::model {

struct SplitReport {
  int64_t good = 0;
  int64_t defective = 0;
  int64_t masks = 0;

  bool operator==(const SplitReport&) const = default;
};

// The images of one category. The sides are those of the readable images, or 0 if there are none.
struct CategoryReport {
  SplitReport train;
  SplitReport test;
  int64_t min_width = 0;
  int64_t max_width = 0;
  int64_t min_height = 0;
  int64_t max_height = 0;

  bool mixed_sizes() const { return min_width != max_width || min_height != max_height; }
};

// A file and its problem.
struct FileFinding {
  std::string name;  // below the dataset's root
  std::string problem;
};

// A test image with the same bytes as a training image. Figures on it would be too good.
struct SplitDuplicate {
  std::string train;
  std::string test;
};

struct DatasetReport {
  std::map<std::string, CategoryReport> categories;
  std::vector<FileFinding> unreadable;     // images, in the order of the dataset
  std::vector<FileFinding> bad_masks;      // unreadable, or of another size than their image
  std::vector<SplitDuplicate> duplicates;  // every such test image
  std::vector<MaskFinding> mask_findings;  // of masks that can be used

  // SHA-256 of the samples: category, split, kind of defect, name and content of each image, and
  // the presence and content of its mask.
  std::string fingerprint;

  // The same over the samples of the split kTrain alone.
  std::string train_fingerprint;
};

struct DatasetCheckOptions {
  // true: every image and mask is decoded, so that damaged pixels are found, and masks are compared
  // with the labels of their images. false: the headers are read.
  bool decode = true;
  int threads = 0;  // 0: one for each core
  // Called on the calling thread a few times a second with the number of samples read so far.
  std::function<void(int64_t done, int64_t total)> progress;
};

// Reads every file once, on several threads. An image is unreadable if it is missing, empty, larger
// than `limits`, truncated, damaged, or of an unknown format.
DatasetReport CheckDataset(const Dataset& dataset, const ImageLimits& limits = {},
                           const DatasetCheckOptions& options = {});

}  // namespace proad::model
