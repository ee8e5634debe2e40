#include "model/training/feature_cache.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <cstring>
#include <sstream>
#include <system_error>

#include "model/files/error.h"
#include "model/files/safetensors.h"
#include "model/files/sha256.h"
#include "model/picture/image_file.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

constexpr char kGroups[] = "groups";

// What the groups of a kind with stages depend on besides the encoder's file.
void AppendStages(const EncoderConfig& encoder, std::ostringstream& text) {
  text.precision(17);  // of doubles
  text << ' ' << NameOf(encoder.kind) << ' ' << encoder.width << ' ' << encoder.patch << " stages";
  for (const int stage : encoder.lite.stages) text << ' ' << stage;
  text << ' ' << encoder.lite.groups << ' ' << encoder.lite.patch;
  for (const double level : encoder.group_levels) text << ' ' << level;
  for (const double centering : encoder.group_centering) text << ' ' << centering;
}

// A digest of everything except the image that its groups of taps depend on.
std::string KeyOf(const ModelConfig& config, const Preprocessing& preprocessing,
                  const std::string& encoder_sha256) {
  std::ostringstream text;
  text << encoder_sha256 << ' ' << NameOf(config.encoder.position_resize) << ' ' << config.groups
       << " taps";
  for (const int tap : config.encoder.taps) text << ' ' << tap;
  if (TraitsOf(config.encoder.kind).has_stages) AppendStages(config.encoder, text);
  text << " resize " << preprocessing.resize_height << ' ' << preprocessing.resize_width << " crop "
       << preprocessing.crop_height << ' ' << preprocessing.crop_width;
  for (const float value : preprocessing.mean) text << ' ' << value;
  for (const float value : preprocessing.std) text << ' ' << value;
  return Sha256Hex(text.str());
}

}  // namespace

FeatureCache::FeatureCache(const ProAd& model, const Preprocessing& preprocessing,
                           const std::string& encoder_sha256, const Options& options)
    : model_(model),
      preprocessing_(preprocessing),
      options_(options),
      directory_(options.directory / KeyOf(model->config(), preprocessing, encoder_sha256)) {}

void FeatureCache::Add(const Sample& sample) {
  Entry entry{sample.path, {}, {}};
  const std::vector<uint8_t> bytes = ReadImageFile(sample.path, options_.limits);
  const fs::path file = FileOf(bytes);
  std::error_code error;
  const bool stored = options_.keep && fs::exists(file, error);
  torch::Tensor groups = stored ? ReadStored(file) : Encode(bytes, sample.path);
  const auto size = static_cast<int64_t>(groups.nbytes());
  if (options_.keep && memory_used_ + size <= options_.memory_bytes) {
    memory_used_ += size;
    entry.groups = std::move(groups);
  } else if (options_.keep) {
    entry.file = file;
    if (!stored) Write(file, groups);
  }
  entries_.push_back(std::move(entry));
}

void FeatureCache::Store(const Sample& sample) {
  const std::vector<uint8_t> bytes = ReadImageFile(sample.path, options_.limits);
  const fs::path file = FileOf(bytes);
  std::error_code error;
  if (!fs::exists(file, error)) Write(file, Encode(bytes, sample.path));
}

fs::path FeatureCache::FileOf(const std::vector<uint8_t>& bytes) const {
  return directory_ / (Sha256Hex(std::as_bytes(std::span(bytes))) + ".safetensors");
}

void FeatureCache::Write(const fs::path& file, const torch::Tensor& groups) const {
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) throw FileError(directory_, "create the feature cache", error.value());
  WriteSafetensors(file,
                   {{kGroups,
                     {DType::kF32,
                      groups.sizes().vec(),
                      {static_cast<const std::byte*>(groups.const_data_ptr()), groups.nbytes()}}}});
}

std::vector<torch::Tensor> FeatureCache::Batch(const std::vector<int64_t>& numbers) {
  std::vector<torch::Tensor> images;
  for (const int64_t number : numbers) {
    images.push_back(Groups(entries_.at(static_cast<size_t>(number))));
  }
  const torch::Device device = model_->prototypes.device();
  return at::stack(images, /*dim=*/1).to(device).unbind(0);  // [G, B, N, C]
}

torch::Tensor FeatureCache::Encode(const std::vector<uint8_t>& bytes, const fs::path& image) {
  PreparedImage prepared = Prepare(DecodeImageFile(bytes, image, options_.limits), preprocessing_);
  const torch::Tensor pixels =
      at::from_blob(prepared.pixels.data(), {1, prepared.height, prepared.width, 3}, at::kByte)
          .to(model_->prototypes.device());
  const torch::NoGradGuard no_grad;
  return at::cat(model_->Encode(Normalize(pixels, preprocessing_)))
      .to(at::kCPU, at::kFloat)
      .contiguous();
}

torch::Tensor FeatureCache::Groups(const Entry& entry) {
  if (entry.groups.defined()) return entry.groups;
  if (!entry.file.empty()) return ReadStored(entry.file);
  return Encode(ReadImageFile(entry.image, options_.limits), entry.image);
}

torch::Tensor FeatureCache::ReadStored(const fs::path& file) const {
  const ModelConfig& config = model_->config();
  const std::vector<int64_t> shape = {config.groups, config.tokens(), config.encoder.width};
  const TensorFile stored = ReadSafetensors(file);
  const auto found = stored.tensors.find(kGroups);
  if (found == stored.tensors.end() || found->second.dtype != DType::kF32 ||
      found->second.shape != shape) {
    throw CorruptFile(file,
                      "does not have the features of an image for this network; remove the file");
  }
  torch::Tensor groups = at::empty(shape, at::kFloat);
  std::memcpy(groups.data_ptr(), found->second.data.data(), found->second.data.size());
  return groups;
}

}  // namespace proad::model
