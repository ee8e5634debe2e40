// A ServableModel whose answers can be told apart and whose work can be held up, made to fail, or
// made to lie.
//
// The score of an image is its first pixel read as a 24 bit number / 2^23, so that 0 <= score < 2
// and an answer that went to the wrong image is noticed. Its map rises evenly from 0 to the score.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "model/picture/image.h"
#include "model/picture/preprocess.h"
#include "model/spec/manifest.h"
#include "server/serving/servable_model.h"
#include "server/util/mutex.h"

namespace proad::server {

inline constexpr int kFakeSide = 8;  // of the prepared image and of the map

inline double FakeScore(uint32_t marker) { return marker / 8388608.0; }

// A picture of one colour, which survives any resize: the marker's three bytes.
inline model::Image MarkedImage(uint32_t marker, int width = kFakeSide, int height = kFakeSide) {
  model::Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) {
    for (int shift : {16, 8, 0}) image.pixels.push_back(static_cast<uint8_t>(marker >> shift));
  }
  return image;
}

inline model::PreparedImage MarkedInput(uint32_t marker) {
  return {kFakeSide, kFakeSide, MarkedImage(marker).pixels};
}

inline model::Manifest FakeManifest(std::string name = "fake", std::string version = "1") {
  model::Manifest manifest;
  manifest.name = std::move(name);
  manifest.version = std::move(version);
  manifest.hash = std::string(64, 'a');
  manifest.preprocessing.resize_height = manifest.preprocessing.resize_width = kFakeSide;
  manifest.preprocessing.crop_height = manifest.preprocessing.crop_width = kFakeSide;
  manifest.map_range = {0.0f, 2.0f};
  return manifest;
}

class FakeModel : public ServableModel {
 public:
  using Answers = absl::StatusOr<std::vector<Inference>>;
  // Looks at the markers of a batch and may change its answers, or throw.
  using Twist = std::function<void(const std::vector<uint32_t>& markers, Answers& answers)>;

  explicit FakeModel(model::Manifest manifest = FakeManifest()) : manifest_(std::move(manifest)) {}

  const model::Manifest& manifest() const override { return manifest_; }
  // Before any other thread uses the model.
  void SetHash(std::string hash) { manifest_.hash = std::move(hash); }
  int map_side() const override { return kFakeSide; }

  Answers Infer(absl::Span<const model::PreparedImage* const> images,
                absl::Span<const bool> want_map, int /*worker*/) override {
    std::vector<uint32_t> markers;
    for (const model::PreparedImage* image : images) markers.push_back(Marker(*image));
    Twist twist;
    {
      MutexLock lock(mutex_);
      batches_.push_back(markers);
      changed_.NotifyAll();
      while (held_) changed_.Wait(mutex_);
      twist = twist_;
    }
    std::vector<Inference> inferences;
    for (size_t i = 0; i < images.size(); ++i) {
      inferences.push_back({FakeScore(markers[i]), {}});
      if (want_map[i]) inferences.back().map = Map(inferences.back().score);
    }
    Answers answers = std::move(inferences);
    if (twist) twist(markers, answers);
    return answers;
  }

  // From now on Infer does not return before Release.
  void Hold() { SetHeld(true); }
  void Release() { SetHeld(false); }

  void SetTwist(Twist twist) {
    MutexLock lock(mutex_);
    twist_ = std::move(twist);
  }

  // Waits until Infer was called so often, and returns the markers of every call.
  std::vector<std::vector<uint32_t>> AwaitBatches(size_t count) {
    MutexLock lock(mutex_);
    while (batches_.size() < count) changed_.Wait(mutex_);
    return batches_;
  }

  // Every marker that reached the model.
  std::vector<uint32_t> Seen() {
    MutexLock lock(mutex_);
    std::vector<uint32_t> seen;
    for (const auto& batch : batches_) seen.insert(seen.end(), batch.begin(), batch.end());
    return seen;
  }

  static std::vector<float> Map(double score) {
    constexpr int kValues = kFakeSide * kFakeSide;
    std::vector<float> map(kValues);
    for (int i = 0; i < kValues; ++i) map[i] = static_cast<float>(score * i / (kValues - 1));
    return map;
  }

 private:
  static uint32_t Marker(const model::PreparedImage& image) {
    return uint32_t{image.pixels[0]} << 16 | uint32_t{image.pixels[1]} << 8 | image.pixels[2];
  }

  void SetHeld(bool held) {
    MutexLock lock(mutex_);
    held_ = held;
    changed_.NotifyAll();
  }

  model::Manifest manifest_;

  Mutex mutex_;
  CondVar changed_;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  Twist twist_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::vector<uint32_t>> batches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace proad::server
