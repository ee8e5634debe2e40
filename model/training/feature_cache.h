// The frozen encoder's features of each training image, computed once.
//
// The encoder is frozen and images are not augmented, so the groups of taps depend only on the
// image's content, the encoder and the preprocessing. The cache keeps them in memory up to a budget
// and the rest in files, named by a digest of what they depend on, so that a later run finds them.
// Each image is encoded alone: its features do not depend on the other images of a batch, and
// training gives equal bits with and without the cache.
//
// Thread-safety: belongs to one thread.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/network/pro_ad.h"
#include "model/picture/image_limits.h"
#include "model/picture/preprocess.h"

namespace proad::model {

class FeatureCache {
 public:
  struct Options {
    bool keep = true;  // false: encode an image each time, for comparison
    int64_t memory_bytes = int64_t{2} << 30;
    std::filesystem::path directory;  // for features beyond memory_bytes; created when needed
    ImageLimits limits;
  };

  // Shares `model`; its encoder runs on the model's device. `encoder_sha256` identifies the
  // encoder.
  FeatureCache(const ProAd& model, const Preprocessing& preprocessing,
               const std::string& encoder_sha256, const Options& options);

  // Finds the features of an image or computes them, and gives the image the next number, from 0.
  // Throws InvalidInput (field "dataset", UNREADABLE_IMAGE) that names an unreadable image, and
  // FileError, for example if the disk is full.
  void Add(const Sample& sample);

  // Writes the features of an image to the disk unless they are there, so that Add finds them. For
  // processes that divide the encoding among them. Throws as Add.
  void Store(const Sample& sample);

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

  // The groups of taps of images by their numbers, on the model's device. -> groups of [B, N, C]
  std::vector<torch::Tensor> Batch(const std::vector<int64_t>& numbers);

 private:
  struct Entry {
    std::filesystem::path image;
    torch::Tensor groups;        // [G, N, C] on the CPU; undefined if they are in `file`
    std::filesystem::path file;  // "": none
  };

  std::filesystem::path FileOf(const std::vector<uint8_t>& bytes) const;
  void Write(const std::filesystem::path& file, const torch::Tensor& groups) const;
  torch::Tensor Encode(const std::vector<uint8_t>& bytes, const std::filesystem::path& image);
  torch::Tensor Groups(const Entry& entry);
  torch::Tensor ReadStored(const std::filesystem::path& file) const;

  ProAd model_;
  const Preprocessing preprocessing_;
  const Options options_;
  std::filesystem::path directory_;  // of this encoder and preprocessing
  int64_t memory_used_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace proad::model
