#include "server/rpc/train_job_message.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "model/spec/evaluation.h"
#include "model/spec/preset.h"
#include "model/spec/recipe.h"
#include "server/rpc/proto_time.h"
#include "server/rpc/train_enums.h"
#include "server/serving/model_name.h"

namespace proad::server {
namespace {

constexpr int kMaxSkippedPaths = 100;

void FillOverrides(const model::TrainSpec& train, v1::RecipeOverrides& to) {
  const model::Recipe& recipe = train.recipe;
  if (recipe.epochs > 0) to.set_epochs(static_cast<uint32_t>(recipe.epochs));
  to.set_batch_size(static_cast<uint32_t>(recipe.batch_size));
  to.set_learning_rate(recipe.learning_rate);
  to.set_weight_decay(recipe.weight_decay);
  if (recipe.warmup_epochs == 0) to.set_warmup_steps(static_cast<uint32_t>(recipe.warmup_steps));
  to.set_dropout(recipe.dropout);
  to.set_seed(recipe.seed);
  to.set_precision(ToMessage(kPrecisions, recipe.precision));
  to.set_adaptive_noisy_bottleneck(recipe.adaptive_noisy_bottleneck);
  to.set_dynamic_decoder(recipe.dynamic_decoder);
  to.set_prototype_constraint(recipe.prototype_constraint);
  to.set_principal_start(recipe.principal_start.value_or(false));
  const model::Network network = model::NetworkOf(train.preset, recipe);
  to.set_center_crop(network.preprocessing.crop_height != network.preprocessing.resize_height);
  to.set_position_resize(ToMessage(kPositionResizes, network.config.encoder.position_resize));
  to.set_decoder_layers(static_cast<uint32_t>(network.config.decoder_layers));
  to.set_input_side(static_cast<uint32_t>(network.config.input_height));
}

void FillGate(const model::Gate& from, v1::ActivationGate& to) {
  for (const model::MetricMinimum& minimum : from.minimums) {
    v1::MetricMinimum& message = *to.add_minimums();
    message.set_name(minimum.metric);
    message.set_category(minimum.category);
    message.set_minimum(minimum.minimum);
  }
  to.set_not_worse_than_active(from.not_worse_than_active);
  to.set_tolerance(from.tolerance);
}

void FillSpec(const JobSpec& from, v1::TrainJobSpec& to) {
  const model::TrainSpec& train = from.train;
  to.set_model_name(train.model_name);
  if (from.dataset_id.empty()) {
    to.set_dataset_path(from.dataset_path);
  } else {
    to.set_dataset_id(from.dataset_id);
  }
  to.set_dataset_format(ToMessage(kFormats, train.dataset_format));
  to.mutable_categories()->Assign(train.categories.begin(), train.categories.end());
  to.set_preset(train.preset);
  to.set_recipe(train.recipe.name);
  FillOverrides(train, *to.mutable_overrides());
  to.set_init_from(from.init_from);
  to.set_encoder(from.encoder);
  to.set_device(train.device);
  to.set_validation_share(train.validation_share);
  to.set_false_reject_budget(train.false_reject_budget);
  to.set_activate_on_success(from.activate_on_success);
  if (train.gate) FillGate(*train.gate, *to.mutable_gate());
  to.set_skip_unreadable(train.skip_unreadable);
  to.set_world_size(static_cast<uint32_t>(train.world_size));
  to.mutable_labels()->insert(from.labels.begin(), from.labels.end());
}

void FillProgress(const JobProgress& from, v1::TrainProgress& to) {
  const model::TrainProgress& train = from.train;
  to.set_phase(ToMessage(kPhases, train.phase));
  to.set_epoch(static_cast<uint32_t>(train.epoch));
  to.set_epochs(static_cast<uint32_t>(train.epochs));
  to.set_step(static_cast<uint64_t>(train.step));
  to.set_steps(static_cast<uint64_t>(train.steps));
  to.set_loss(train.loss);
  to.set_learning_rate(train.learning_rate);
  to.set_images_per_second(train.images_per_second);
  if (train.eta_seconds) *to.mutable_eta() = ToProtoDuration(absl::Seconds(*train.eta_seconds));
  *to.mutable_elapsed() = ToProtoDuration(from.elapsed);
  to.set_checkpoint_step(static_cast<uint64_t>(train.checkpoint_step));
  to.set_train_images(static_cast<uint64_t>(train.train_images));
  to.set_device(train.device);
}

void FillMetrics(const std::vector<model::Metric>& from,
                 google::protobuf::RepeatedPtrField<v1::Metric>& to) {
  for (const model::Metric& metric : from) {
    v1::Metric& message = *to.Add();
    message.set_name(metric.name);
    message.set_category(metric.category);
    message.set_value(metric.value);
    message.set_images(static_cast<uint64_t>(metric.images));
  }
}

void FillGateResult(const TrainJob& job, v1::GateResult& to) {
  const model::TrainOutcome& outcome = *job.outcome;
  to.set_passed(outcome.gate->passed);
  to.set_reason(outcome.gate->reason);
  if (job.activation) {
    to.set_activated(job.activation->activated);
    to.set_reason(job.activation->reason);
  }
  if (const auto compared = ModelName::Parse(outcome.compared_with); compared.ok()) {
    to.mutable_compared_with()->set_name(compared->name);
    to.mutable_compared_with()->set_version(compared->version);
  }
  if (outcome.compared_evaluation) {
    FillMetrics(outcome.compared_evaluation->metrics, *to.mutable_compared_metrics());
  }
}

void FillOutcome(const TrainJob& job, v1::TrainJob& to) {
  const model::TrainOutcome& outcome = *job.outcome;
  to.mutable_result_version()->set_name(job.spec.train.model_name);
  to.mutable_result_version()->set_version(outcome.version);
  to.mutable_result_version()->set_hash(outcome.hash);
  if (outcome.evaluation) {
    v1::Evaluation& evaluation = *to.mutable_evaluation();
    evaluation.set_step(static_cast<uint64_t>(outcome.steps));
    *evaluation.mutable_create_time() = ToProtoTimestamp(job.updated);
    FillMetrics(outcome.evaluation->metrics, *evaluation.mutable_metrics());
    int64_t images = 0;  // of the means over categories
    for (const model::Metric& metric : outcome.evaluation->metrics) {
      if (metric.category.empty()) images = std::max(images, metric.images);
    }
    evaluation.set_images(static_cast<uint64_t>(images));
  }
  if (outcome.gate) FillGateResult(job, *to.mutable_gate_result());
  to.set_skipped_images(outcome.skipped.size());
  for (const std::string& path : outcome.skipped) {
    if (to.skipped_paths_size() == kMaxSkippedPaths) break;
    to.add_skipped_paths(path);
  }
  if (outcome.warnings)
    to.mutable_warnings()->Add(outcome.warnings->begin(), outcome.warnings->end());
}

}  // namespace

void FillTrainJob(const TrainJob& job, v1::TrainJob& message) {
  message.set_job_id(job.id);
  FillSpec(job.spec, *message.mutable_spec());
  message.set_state(ToMessage(kStates, job.state));
  message.set_reason(job.reason);
  message.set_reason_code(job.reason_code);
  const auto fill = [](absl::Time time, auto* (v1::TrainJob::*field)(), v1::TrainJob& to) {
    if (time != absl::InfinitePast()) *(to.*field)() = ToProtoTimestamp(time);
  };
  fill(job.created, &v1::TrainJob::mutable_create_time, message);
  fill(job.started, &v1::TrainJob::mutable_start_time, message);
  fill(job.ended, &v1::TrainJob::mutable_end_time, message);
  fill(job.updated, &v1::TrainJob::mutable_update_time, message);
  message.set_queue_position(static_cast<uint32_t>(job.queue_position));
  message.set_attempts(static_cast<uint32_t>(job.attempts));
  if (job.progress) FillProgress(*job.progress, *message.mutable_progress());
  if (job.outcome) FillOutcome(job, message);
}

}  // namespace proad::server
