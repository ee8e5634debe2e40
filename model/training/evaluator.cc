#include "model/training/evaluator.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <future>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"
#include "model/network/anomaly_map.h"
#include "model/network/checkpoint.h"
#include "model/network/frozen_pro_ad.h"
#include "model/picture/image_file.h"
#include "model/picture/mask.h"
#include "model/spec/metrics.h"
#include "model/training/train_run.h"

namespace proad::model {
namespace {

// An image after preprocessing, and its mask.
struct LoadedImage {
  PreparedImage image;
  std::vector<uint8_t> mask;  // [kMapSide, kMapSide]; empty if there is none or it is not needed
};

// The network's result for an image.
struct ScoredImage {
  float score = 0;
  std::vector<float> map;  // [kMapSide, kMapSide]
};

Image ReadImage(const std::filesystem::path& path, const ImageLimits& limits) {
  return DecodeImageFile(ReadImageFile(path, limits), path, limits);
}

Mask ReadMask(const std::filesystem::path& path, const ImageLimits& limits) {
  try {
    return DecodeMask(ReadImageFile(path, limits), limits);
  } catch (const UnreadableImage&) {
    throw;
  } catch (const InvalidInput& error) {
    throw UnreadableImage("dataset",
                          "the mask " + Quote(path.string()) + " cannot be read: " + error.what());
  }
}

LoadedImage Load(const Sample& sample, const Preprocessing& preprocessing,
                 const ImageLimits& limits, bool with_mask) {
  const Image image = ReadImage(sample.path, limits);
  LoadedImage loaded{.image = Prepare(image, preprocessing)};
  if (with_mask && sample.mask) {
    const Mask mask = ReadMask(*sample.mask, limits);
    if (mask.width != image.width || mask.height != image.height) {
      throw InvalidInput("dataset", "MASK_SIZE_MISMATCH",
                         "the mask " + sample.mask->string() + " is " + std::to_string(mask.width) +
                             "x" + std::to_string(mask.height) + ", its image " +
                             std::to_string(image.width) + "x" + std::to_string(image.height) +
                             "; both must have the same size");
    }
    loaded.mask = MaskToMap(mask, kMapSide, kMapSide, preprocessing);
  }
  return loaded;
}

// Loads images in their order, each on another thread while the network computes the previous one.
class ImageQueue {
 public:
  using Loader = std::function<LoadedImage(const Sample&)>;

  ImageQueue(std::vector<const Sample*> samples, Loader load)
      : samples_(std::move(samples)), load_(std::move(load)) {
    LoadNext();
  }

  // Returns the next image or throws its error, and begins to load the image after it.
  LoadedImage Next() {
    std::future<LoadedImage> loaded = std::move(next_);
    LoadNext();
    return loaded.get();
  }

 private:
  void LoadNext() {
    if (begun_ == samples_.size()) return;
    next_ = std::async(std::launch::async, load_, std::cref(*samples_[begun_]));
    ++begun_;
  }

  const std::vector<const Sample*> samples_;
  const Loader load_;
  size_t begun_ = 0;
  std::future<LoadedImage> next_;  // last: its destructor waits for the load, which uses the others
};

ScoredImage Score(const FrozenProAd& model, const Sample& sample, PreparedImage& image) {
  const at::Tensor pixels = at::from_blob(image.pixels.data(), {1, image.height, image.width, 3},
                                          at::TensorOptions(at::kByte));
  const Scored scored = model.Detect(pixels);
  const at::Tensor map = scored.maps[0].to(at::kCPU, at::kFloat).contiguous();
  const float* const values = map.const_data_ptr<float>();
  ScoredImage result{.score = scored.scores[0].to(at::kFloat).item<float>(),
                     .map = {values, values + map.numel()}};
  const auto is_finite = [](float value) { return std::isfinite(value); };
  if (!is_finite(result.score) || !std::all_of(result.map.begin(), result.map.end(), is_finite)) {
    throw NonFiniteScore("scores",
                         "the score " + std::to_string(result.score) + " of image " + sample.name +
                             " or a value of its map is not finite; finite values are expected");
  }
  return result;
}

// The metrics of one category.
class CategoryFigures {
 public:
  explicit CategoryFigures(bool pixels) : count_pixels_(pixels) {}

  void Add(const Sample& sample, const ScoredImage& result, std::span<const uint8_t> mask) {
    (sample.good ? good_ : defective_).push_back(result.score);
    if (!count_pixels_ || (!sample.good && mask.empty())) return;
    pixels_.Add(result.map, mask, kMapSide, kMapSide);
    ++pixel_images_;
  }

  // Appends the metrics that are defined, and releases the scores and pixels.
  void Finish(const std::string& category, std::vector<Metric>& metrics) {
    const auto images = static_cast<int64_t>(good_.size() + defective_.size());
    const auto append = [&](const char* name, double value, int64_t of) {
      metrics.push_back({.name = name, .category = category, .value = value, .images = of});
    };
    if (const auto image = Rank(std::exchange(good_, {}), std::exchange(defective_, {}))) {
      append("image_auroc", image->auroc, images);
      append("image_ap", image->average_precision, images);
      append("image_f1_max", image->f1_max, images);
    }
    if (const auto pixel = pixels_.Finish()) {
      append("pixel_auroc", pixel->ranking.auroc, pixel_images_);
      append("pixel_ap", pixel->ranking.average_precision, pixel_images_);
      append("pixel_f1_max", pixel->ranking.f1_max, pixel_images_);
      append("aupro", pixel->aupro, pixel_images_);
    }
  }

 private:
  const bool count_pixels_;
  std::vector<float> good_;
  std::vector<float> defective_;
  PixelMetrics pixels_;
  int64_t pixel_images_ = 0;
};

// The means over the categories, followed by the metrics of the categories.
std::vector<Metric> WithMeans(const std::vector<Metric>& metrics) {
  std::vector<Metric> all;
  for (const std::string& name : MetricNames()) {
    Metric mean{.name = name};
    int64_t categories = 0;
    for (const Metric& metric : metrics) {
      if (metric.name != name) continue;
      mean.value += metric.value;
      mean.images += metric.images;
      ++categories;
    }
    if (categories == 0) continue;
    mean.value /= static_cast<double>(categories);
    all.push_back(mean);
  }
  all.insert(all.end(), metrics.begin(), metrics.end());
  return all;
}

std::vector<const Sample*> TestSamples(const Dataset& dataset) {
  std::vector<const Sample*> samples;
  for (const Sample& sample : dataset.samples) {
    if (sample.split == Split::kTest) samples.push_back(&sample);
  }
  return samples;
}

// nullopt for an image that is left out.
std::optional<LoadedImage> NextReadable(ImageQueue& images, const Sample& sample,
                                        const EvaluatorOptions& options,
                                        std::vector<std::string>* skipped) {
  try {
    return images.Next();
  } catch (const InvalidInput&) {
    if (!options.skip_unreadable) throw;
  } catch (const FileError&) {
    if (!options.skip_unreadable) throw;
  }
  if (skipped != nullptr) skipped->push_back(sample.name);
  return std::nullopt;
}

void Report(const EvaluationProgress& progress, int64_t done) {
  if (progress && !progress(done)) throw Interrupted();
}

}  // namespace

Evaluation Evaluate(const FrozenProAd& model, const Preprocessing& preprocessing,
                    const Dataset& dataset, const EvaluatorOptions& options,
                    const EvaluationProgress& progress, std::vector<std::string>* skipped) {
  const c10::InferenceMode inference;
  const std::vector<const Sample*> samples = TestSamples(dataset);
  std::set<std::string> with_masks;  // categories
  for (const Sample* sample : samples) {
    if (options.pixels && sample->mask) with_masks.insert(sample->category);
  }
  ImageQueue images(samples, [&](const Sample& sample) {
    return Load(sample, preprocessing, options.limits, options.pixels);
  });
  Evaluation evaluation;
  std::vector<Metric> metrics;
  std::optional<CategoryFigures> figures;
  for (size_t i = 0; i < samples.size(); ++i) {
    const Sample& sample = *samples[i];
    if (!figures) figures.emplace(with_masks.contains(sample.category));
    std::optional<LoadedImage> loaded = NextReadable(images, sample, options, skipped);
    if (loaded) {
      const ScoredImage scored = Score(model, sample, loaded->image);
      figures->Add(sample, scored, loaded->mask);
      evaluation.samples.push_back({.name = sample.name,
                                    .category = sample.category,
                                    .defect = sample.defect,
                                    .score = scored.score});
    }
    if (i + 1 == samples.size() || samples[i + 1]->category != sample.category) {
      figures->Finish(sample.category, metrics);
      figures.reset();
    }
    Report(progress, static_cast<int64_t>(i) + 1);
  }
  evaluation.metrics = WithMeans(metrics);
  return evaluation;
}

Evaluation EvaluateVersion(const std::filesystem::path& directory, const std::string& device,
                           const Dataset& dataset, const EvaluatorOptions& options,
                           const EvaluationProgress& progress, std::vector<std::string>* skipped) {
  Checkpoint checkpoint = LoadCheckpoint(directory);
  checkpoint.model->to(torch::Device(device));
  const Preprocessing preprocessing = checkpoint.manifest.preprocessing;
  const FrozenProAd frozen(checkpoint.model, preprocessing);
  return Evaluate(frozen, preprocessing, dataset, options, progress, skipped);
}

std::vector<MapFigures> ScoreSamples(const FrozenProAd& model, const Preprocessing& preprocessing,
                                     const std::vector<Sample>& samples, const ImageLimits& limits,
                                     const EvaluationProgress& progress) {
  const c10::InferenceMode inference;
  std::vector<const Sample*> order;
  for (const Sample& sample : samples) order.push_back(&sample);
  ImageQueue images(
      order, [&](const Sample& sample) { return Load(sample, preprocessing, limits, false); });
  std::vector<MapFigures> all;
  for (const Sample& sample : samples) {
    LoadedImage loaded = images.Next();
    ScoredImage scored = Score(model, sample, loaded.image);
    std::vector<float>& map = scored.map;
    const auto middle = map.begin() + static_cast<std::ptrdiff_t>(map.size() / 2);
    std::nth_element(map.begin(), middle, map.end());
    all.push_back({.score = scored.score,
                   .median = *middle,
                   .maximum = *std::max_element(middle, map.end())});
    Report(progress, static_cast<int64_t>(all.size()));
  }
  return all;
}

}  // namespace proad::model
