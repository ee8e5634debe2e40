#include "model/dataset/dataset_report.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/dataset/sample_checks.h"
#include "model/files/sha256.h"

namespace proad::model {
namespace {

// Lengths, because a name may contain any separator.
void Identify(const Sample& sample, const SampleCheck& check, std::string& identity) {
  for (const std::string& part : {sample.category, std::string(NameOf(sample.split)), sample.defect,
                                  sample.name, check.digest})
    identity += std::to_string(part.size()) + ":" + part;
  if (sample.mask) identity += "mask:" + check.mask_digest;
}

// Collects the checks of all samples.
class ReportWriter {
 public:
  void Add(const Sample& sample, const SampleCheck& check) {
    CategoryReport& category = report_.categories[sample.category];
    Count(sample, sample.split == Split::kTrain ? category.train : category.test);
    if (check.header) {
      Widen(*check.header, category);
      FindDuplicate(sample, check.digest);
    } else {
      report_.unreadable.push_back({sample.name, check.problem});
    }
    if (!check.mask_problem.empty())
      report_.bad_masks.push_back({check.mask_name, check.mask_problem});
    report_.mask_findings.insert(report_.mask_findings.end(), check.mask_findings.begin(),
                                 check.mask_findings.end());
    Identify(sample, check, identity_);
    if (sample.split == Split::kTrain) Identify(sample, check, train_identity_);
  }

  DatasetReport Finish() {
    report_.fingerprint = Sha256Hex(identity_);
    report_.train_fingerprint = Sha256Hex(train_identity_);
    return std::move(report_);
  }

 private:
  static void Count(const Sample& sample, SplitReport& split) {
    ++(sample.good ? split.good : split.defective);
    if (sample.mask) ++split.masks;
  }

  static void Widen(const ImageHeader& header, CategoryReport& category) {
    const bool first = category.max_width == 0;
    category.min_width = first ? header.width : std::min(category.min_width, header.width);
    category.min_height = first ? header.height : std::min(category.min_height, header.height);
    category.max_width = std::max(category.max_width, header.width);
    category.max_height = std::max(category.max_height, header.height);
  }

  void FindDuplicate(const Sample& sample, const std::string& digest) {
    Copies& copies = copies_[digest];
    if (sample.split == Split::kTrain) {
      for (const std::string& test : copies.test)
        report_.duplicates.push_back({.train = sample.name, .test = test});
      copies.test.clear();
      if (copies.train.empty()) copies.train = sample.name;
    } else if (!copies.train.empty()) {
      report_.duplicates.push_back({.train = copies.train, .test = sample.name});
    } else {
      copies.test.push_back(sample.name);
    }
  }

  // Images with the same bytes: the first training image, and the test images seen before it.
  struct Copies {
    std::string train;
    std::vector<std::string> test;
  };

  DatasetReport report_;
  std::string identity_;
  std::string train_identity_;
  std::unordered_map<std::string, Copies> copies_;  // by digest
};

}  // namespace

DatasetReport CheckDataset(const Dataset& dataset, const ImageLimits& limits,
                           const DatasetCheckOptions& options) {
  constexpr std::chrono::milliseconds kInterval(200);
  SampleChecks checks(dataset.samples, dataset.root,
                      {.limits = limits, .decode = options.decode, .threads = options.threads});
  while (options.progress && !checks.WaitFor(kInterval))
    options.progress(checks.done(), checks.total());
  const std::vector<SampleCheck>& done = checks.Await();
  ReportWriter writer;
  for (size_t i = 0; i < done.size(); ++i) writer.Add(dataset.samples[i], done[i]);
  return writer.Finish();
}

}  // namespace proad::model
