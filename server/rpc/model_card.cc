#include "server/rpc/model_card.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "absl/time/time.h"
#include "server/rpc/proto_time.h"

namespace proad::server {
namespace {

// Fills the fields that summary and card share.
template <typename Message>
void FillIdentity(const ListedVersion& listed, Message& message) {
  message.mutable_model_version()->set_name(listed.name);
  message.mutable_model_version()->set_version(listed.version);
  message.set_state(ToProto(listed.state));
  message.set_state_reason(std::string(listed.problem.message()));
  message.set_default_model(listed.is_default);
  if (!listed.manifest) return;
  message.mutable_model_version()->set_hash(listed.manifest->hash);
  absl::Time created;
  if (absl::ParseTime(absl::RFC3339_full, listed.manifest->created, &created, nullptr)) {
    *message.mutable_create_time() = ToProtoTimestamp(created);
  }
}

void FillNetwork(const model::ModelConfig& config, v1::NetworkConfig& network) {
  network.set_preset(config.preset);
  network.set_width(config.encoder.width);
  network.set_heads(config.encoder.heads);
  network.set_encoder_blocks(config.encoder.blocks);
  for (const int tap : config.encoder.taps) network.add_taps(tap);
  network.set_decoder_layers(config.decoder_layers);
  network.set_groups(config.groups);
  network.set_input_height(config.input_height);
  network.set_input_width(config.input_width);
  network.set_patch(config.encoder.patch);
  network.set_registers(config.encoder.registers);
  network.set_tokens(config.tokens());
  network.set_position_resize(config.encoder.position_resize == model::PositionResize::kOfficial
                                  ? v1::POSITION_RESIZE_OFFICIAL
                                  : v1::POSITION_RESIZE_LINEAGE);
  network.set_adaptive_noisy_bottleneck(config.adaptive_noisy_bottleneck);
  network.set_dynamic_decoder(config.dynamic_decoder);
  network.set_prototype_constraint(config.prototype_constraint);
}

void FillPreprocessing(const model::Preprocessing& from, v1::Preprocessing& to) {
  to.set_resize_height(from.resize_height);
  to.set_resize_width(from.resize_width);
  to.set_crop_height(from.crop_height);
  to.set_crop_width(from.crop_width);
  for (const float value : from.mean) to.add_mean(value);
  for (const float value : from.std) to.add_standard_deviation(value);
}

void FillCalibration(const std::string& category, const model::Calibration& from,
                     v1::Calibration& to) {
  to.set_category(category);
  to.set_threshold(from.threshold);
  to.set_false_reject_budget(from.false_reject_budget);
  to.set_images(from.images);
  to.set_source(v1::CALIBRATION_SOURCE_PUBLISHED);
}

// Fills the calibrations that are in force, by category.
void FillCalibrations(const ListedVersion& listed, v1::ModelCard& card) {
  std::map<std::string, v1::Calibration> by_category;
  if (listed.manifest->calibration) {
    FillCalibration("", *listed.manifest->calibration, by_category[""]);
  }
  for (const auto& [category, calibration] : listed.manifest->categories) {
    FillCalibration(category, calibration, by_category[category]);
  }
  if (listed.recalibrated != nullptr) {
    for (const auto& [category, recalibration] : *listed.recalibrated) {
      FillRecalibration(category, recalibration, by_category[category]);
    }
  }
  for (auto& [category, calibration] : by_category) *card.add_calibrations() = calibration;
}

void FillTraining(const model::TrainingRecord& from, v1::TrainingRecord& to) {
  to.set_recipe(from.recipe.name);
  to.set_seed(from.recipe.seed);
  to.set_steps(static_cast<uint64_t>(from.steps));
  to.set_images(static_cast<uint64_t>(from.images));
  to.set_init_from(from.init_from);
}

}  // namespace

v1::ModelState ToProto(ModelState state) {
  switch (state) {
    case ModelState::kStored:
      return v1::MODEL_STATE_STORED;
    case ModelState::kLoading:
      return v1::MODEL_STATE_LOADING;
    case ModelState::kLoaded:
      return v1::MODEL_STATE_LOADED;
    case ModelState::kActive:
      return v1::MODEL_STATE_ACTIVE;
    case ModelState::kFailed:
      return v1::MODEL_STATE_FAILED;
  }
  return v1::MODEL_STATE_UNSPECIFIED;
}

void FillRecalibration(const std::string& category, const Recalibration& from,
                       v1::Calibration& to) {
  FillCalibration(category, from.calibration, to);
  to.set_rejected(static_cast<uint64_t>(from.rejected));
  *to.mutable_create_time() = ToProtoTimestamp(from.created);
  to.set_source(v1::CALIBRATION_SOURCE_CALIBRATE);
}

void FillModelSummary(const ListedVersion& listed, v1::ModelSummary& summary) {
  FillIdentity(listed, summary);
  if (!listed.manifest) return;
  summary.set_preset(listed.manifest->config.preset);
  std::set<std::string> categories;
  for (const auto& [category, calibration] : listed.manifest->categories) {
    categories.insert(category);
  }
  if (listed.recalibrated != nullptr) {
    for (const auto& [category, recalibration] : *listed.recalibrated) categories.insert(category);
  }
  categories.erase("");
  summary.mutable_categories()->Assign(categories.begin(), categories.end());
}

void FillModelCard(const ListedVersion& listed, v1::ModelCard& card) {
  FillIdentity(listed, card);
  const model::Manifest& manifest = *listed.manifest;
  if (listed.activated != absl::InfinitePast()) {
    *card.mutable_activate_time() = ToProtoTimestamp(listed.activated);
  }
  card.set_code_version(manifest.code_version);
  FillNetwork(manifest.config, *card.mutable_network());
  FillPreprocessing(manifest.preprocessing, *card.mutable_preprocessing());
  card.mutable_encoder()->set_source(manifest.encoder.source);
  card.mutable_encoder()->set_sha256(manifest.encoder.sha256);
  card.mutable_encoder()->set_dialect(manifest.encoder.dialect);
  FillCalibrations(listed, card);
  for (const auto& [key, value] : manifest.metrics) {
    // "image_auroc" is the mean, "image_auroc/pcb" the value of a category.
    const size_t slash = key.find('/');
    v1::Metric& metric = *card.add_metrics();
    metric.set_name(key.substr(0, slash));
    if (slash != std::string::npos) metric.set_category(key.substr(slash + 1));
    metric.set_value(value);
  }
  card.mutable_map_range()->set_low(manifest.map_range.low);
  card.mutable_map_range()->set_high(manifest.map_range.high);
  card.set_data_fingerprint(manifest.data_fingerprint);
  card.set_parent_job(manifest.parent_job);
  if (manifest.training) FillTraining(*manifest.training, *card.mutable_training());
  for (const auto& [name, digest] : manifest.files) {
    v1::ModelFile& file = *card.add_files();
    file.set_name(name);
    file.set_sha256(digest.sha256);
    file.set_size_bytes(digest.bytes);
  }
  if (manifest.probe) {
    card.mutable_probe()->set_file(manifest.probe->file);
    card.mutable_probe()->set_score(manifest.probe->score);
  }
  card.set_trainable_parameters(TrainableParameters(manifest.config));
  card.set_device_memory_bytes(listed.memory_bytes);
}

int64_t TrainableParameters(const model::ModelConfig& config) {
  const int64_t c = config.encoder.width;
  const int64_t prototypes = config.tokens() * c;
  const int64_t feed_forward = 8 * c * c + 5 * c;  // C -> 4C -> C, with biases
  const int64_t attention = 4 * (c * c + c);       // q, k, v and the projection
  const int64_t norms = 2 * 2 * c;
  const int64_t bottleneck = config.adaptive_noisy_bottleneck ? feed_forward : 0;
  return prototypes + bottleneck + config.decoder_layers * (attention + feed_forward + norms);
}

}  // namespace proad::server
