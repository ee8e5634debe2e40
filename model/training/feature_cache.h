// What the frozen encoder says of each picture, computed once.
//
// The encoder does not learn and pictures are not augmented, so a picture's groups of taps are a
// constant of its content, the encoder and the preprocessing. They are kept in memory up to a
// budget, and beyond it in files that are named by what they depend on, so that a later run finds
// them. Each picture is encoded by itself: what a group holds does not depend on its neighbours,
// and training with the cache and without it computes the same to the last bit.
//
// One thread.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/network/pro_ad.h"
#include "model/picture/image.h"
#include "model/picture/preprocess.h"

namespace proad::model {

class FeatureCache {
 public:
  struct Options {
    bool keep = true;  // false: encode anew every time; what the cache is measured against
    int64_t memory_bytes = int64_t{2} << 30;
    std::filesystem::path directory;  // of what does not fit; made when it is needed
    ImageLimits limits;
  };

  // Shares `model`, whose encoder computes on its device. `encoder_sha256` names the encoder.
  FeatureCache(const ProAd& model, const Preprocessing& preprocessing,
               const std::string& encoder_sha256, const Options& options);

  // Encodes a picture, or finds it encoded, and gives it the next number, from 0. Throws
  // InvalidInput (field "dataset", UNREADABLE_IMAGE) naming a picture that cannot be read, and
  // FileError when the disk is full.
  void Add(const Sample& sample);

  // Encodes a picture onto the disk, unless it lies there, so that Add finds it; for several
  // processes that divide the encoding. Throws as Add.
  void Store(const Sample& sample);

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

  // Groups of taps of some pictures, by their numbers, on the model's device. -> groups of [B, N,
  // C]
  std::vector<torch::Tensor> Batch(const std::vector<int64_t>& numbers);

 private:
  struct Entry {
    std::filesystem::path picture;
    torch::Tensor groups;        // [G, N, C] on the CPU; undefined when it lies in `file`
    std::filesystem::path file;  // "": nowhere
  };

  std::filesystem::path FileOf(const std::vector<uint8_t>& bytes) const;
  void Write(const std::filesystem::path& file, const torch::Tensor& groups) const;
  torch::Tensor Encode(const std::vector<uint8_t>& bytes, const std::filesystem::path& picture);
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
