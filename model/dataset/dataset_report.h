// What a look into every file of a dataset tells, before a job depends on it.
//
// No LibTorch. A pure function; safe to call from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/picture/image.h"

namespace proad::model {

struct SplitReport {
  int64_t good = 0;
  int64_t defective = 0;
  int64_t masks = 0;

  bool operator==(const SplitReport&) const = default;
};

// Of the pictures of one category; sides are those of the readable ones, 0 when there are none.
struct CategoryReport {
  SplitReport train;
  SplitReport test;
  int64_t min_width = 0;
  int64_t max_width = 0;
  int64_t min_height = 0;
  int64_t max_height = 0;

  bool mixed_sizes() const { return min_width != max_width || min_height != max_height; }
};

// A file and what is wrong with it.
struct FileFinding {
  std::string name;  // below the dataset's root
  std::string problem;
};

// The same bytes in both splits: figures on them would flatter.
struct SplitDuplicate {
  std::string train;
  std::string test;
};

struct DatasetReport {
  std::map<std::string, CategoryReport> categories;
  std::vector<FileFinding> unreadable;     // pictures, in the dataset's order
  std::vector<FileFinding> bad_masks;      // unreadable, or of another size than their picture
  std::vector<SplitDuplicate> duplicates;  // each picture to test on that is also trained on

  // SHA-256 over the dataset's samples: category, split, kind of defect, name and content of each.
  std::string fingerprint;
};

// Reads every file once, one at a time; decodes none. A picture is unreadable when it is missing,
// empty, larger than `limits`, cut off, or of no known format.
DatasetReport CheckDataset(const Dataset& dataset, const ImageLimits& limits = {});

}  // namespace proad::model
