#include "model/spec/train_data.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "model/dataset/dataset_report.h"
#include "model/files/error.h"
#include "model/files/text.h"
#include "model/spec/shuffle.h"

namespace proad::model {
namespace {

// "A", "B" and 3 more: why.
std::string Listed(const std::vector<FileFinding>& findings) {
  constexpr size_t kShown = 5;
  std::string text;
  for (size_t i = 0; i < std::min(findings.size(), kShown); ++i) {
    text += (i == 0 ? "" : "; ") + Quote(findings[i].name) + ": " + findings[i].problem;
  }
  if (findings.size() > kShown) {
    text += "; and " + std::to_string(findings.size() - kShown) + " more";
  }
  return text;
}

void LeaveOut(const std::vector<FileFinding>& unreadable, TrainData& data) {
  std::set<std::string> names;
  for (const FileFinding& finding : unreadable) {
    names.insert(finding.name);
    data.skipped.push_back(finding.name);
  }
  const auto is_left_out = [&](const Sample& sample) { return names.contains(sample.name); };
  for (std::vector<Sample>* samples : {&data.dataset.samples, &data.train, &data.held_out})
    std::erase_if(*samples, is_left_out);
}

void RefuseFiles(const TrainSpec& spec, const std::vector<FileFinding>& unreadable,
                 const std::vector<FileFinding>& bad_masks) {
  if (!bad_masks.empty()) {
    throw InvalidInput("dataset", "MASK_INVALID",
                       "masks of the dataset cannot be used: " + Listed(bad_masks));
  }
  if (!unreadable.empty() && !spec.skip_unreadable) {
    throw UnreadableImage("dataset", "images of the dataset cannot be read: " + Listed(unreadable) +
                                         "; repair or remove them, or set skip_unreadable");
  }
}

// Whether the gate needs figures over pixels or regions.
bool HasPixelGate(const TrainSpec& spec) {
  if (!spec.gate) return false;
  const std::vector<MetricMinimum>& minimums = spec.gate->minimums;
  return std::any_of(minimums.begin(), minimums.end(), [](const MetricMinimum& minimum) {
    return minimum.metric.starts_with("pixel_") || minimum.metric == "aupro";
  });
}

void RefuseContradictions(const std::vector<MaskFinding>& findings) {
  std::vector<FileFinding> contradictions;
  for (const MaskFinding& finding : findings) {
    if (ContradictsLabel(finding.issue)) contradictions.push_back({finding.name, finding.problem});
  }
  if (contradictions.empty()) return;
  throw InvalidInput(
      "dataset", "MASK_CONTRADICTS_LABEL",
      "the gate needs pixel metrics, but masks contradict the labels of their "
      "images: " +
          Listed(contradictions) +
          "; repair the masks or the labels, or leave pixel metrics out of the gate");
}

// One sentence for each issue: how many masks have it, and the first of them.
std::vector<std::string> WarningsOf(const std::vector<MaskFinding>& findings) {
  std::map<MaskIssue, std::vector<FileFinding>> issues;
  for (const MaskFinding& finding : findings)
    issues[finding.issue].push_back({finding.name, finding.problem});
  std::vector<std::string> warnings;
  for (const auto& [issue, masks] : issues) {
    warnings.push_back(std::to_string(masks.size()) + " " + TitleOf(issue) + ": " + Listed(masks));
  }
  return warnings;
}

void Divide(const TrainSpec& spec, TrainData& data) {
  std::map<std::string, std::vector<const Sample*>> categories;
  for (const Sample& sample : data.dataset.samples) {
    if (sample.split == Split::kTrain && sample.good)
      categories[sample.category].push_back(&sample);
  }
  uint64_t stream = 0;
  for (const auto& [category, samples] : categories) {
    const auto count = static_cast<int64_t>(samples.size());
    const std::vector<int64_t> order = Shuffled(count, spec.recipe.seed, --stream);
    std::vector<bool> held(samples.size());
    for (int64_t i = 0; i < CountHeldOut(count, spec.validation_share); ++i) {
      held[static_cast<size_t>(order[static_cast<size_t>(i)])] = true;
    }
    for (size_t i = 0; i < samples.size(); ++i) {
      (held[i] ? data.held_out : data.train).push_back(*samples[i]);
    }
  }
}

// The server resolved the path of the dataset and checked where it lies before the trainer started.
// A symbolic link that was added since then may lead anywhere.
void RefuseMoved(const std::filesystem::path& planned, const Dataset& dataset) {
  const std::filesystem::path& root = dataset.root;
  if (std::mismatch(root.begin(), root.end(), planned.begin(), planned.end()).first == root.end()) {
    return;
  }
  throw InvalidInput("dataset", "DATASET_MOVED",
                     "the dataset " + Quote(planned.string()) + " is now reached by a symbolic " +
                         "link, at " + Quote(root.string()) +
                         "; the path of a job's dataset must not contain links");
}

}  // namespace

// A threshold needs at least three images; a small category gives a quarter of its images.
int64_t CountHeldOut(int64_t images, double share) {
  constexpr int64_t kFewest = 3;
  if (share <= 0 || images < 2) return 0;
  const int64_t fewest = std::clamp<int64_t>(images / 4, 1, kFewest);
  const auto wanted = std::llround(share * static_cast<double>(images));
  return std::clamp<int64_t>(wanted, fewest, images - 1);
}

TrainData OpenTrainData(const TrainSpec& spec, const ImageLimits& limits) {
  TrainData data;
  data.dataset =
      OpenDataset(spec.dataset, {.format = spec.dataset_format, .categories = spec.categories});
  RefuseMoved(spec.dataset, data.dataset);
  const DatasetReport report = CheckDataset(data.dataset, limits, {.decode = false});
  data.fingerprint = report.fingerprint;
  data.train_fingerprint = report.train_fingerprint;
  RefuseFiles(spec, report.unreadable, report.bad_masks);
  LeaveOut(report.unreadable, data);
  CheckTrainable(data.dataset);
  Divide(spec, data);
  return data;
}

std::vector<Sample> SamplesToDecode(const TrainData& data, bool all) {
  if (all) return data.dataset.samples;
  std::vector<Sample> samples = data.held_out;
  std::copy_if(data.dataset.samples.begin(), data.dataset.samples.end(),
               std::back_inserter(samples),
               [](const Sample& sample) { return sample.split == Split::kTest; });
  return samples;
}

void ApplyChecks(const TrainSpec& spec, const std::vector<Sample>& samples,
                 const std::vector<SampleCheck>& checks, TrainData& data) {
  std::vector<FileFinding> unreadable;
  std::vector<FileFinding> bad_masks;
  std::vector<MaskFinding> findings;
  for (size_t i = 0; i < checks.size(); ++i) {
    const SampleCheck& check = checks[i];
    if (!check.problem.empty()) unreadable.push_back({samples[i].name, check.problem});
    if (!check.mask_problem.empty()) bad_masks.push_back({check.mask_name, check.mask_problem});
    findings.insert(findings.end(), check.mask_findings.begin(), check.mask_findings.end());
  }
  RefuseFiles(spec, unreadable, bad_masks);
  if (HasPixelGate(spec)) RefuseContradictions(findings);
  LeaveOut(unreadable, data);
  data.warnings = WarningsOf(findings);
}

bool CanEvaluate(const Dataset& dataset) {
  try {
    CheckEvaluable(dataset);
    return true;
  } catch (const InvalidInput&) {
    return false;
  }
}

}  // namespace proad::model
