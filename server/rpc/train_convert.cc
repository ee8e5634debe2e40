#include "server/rpc/train_convert.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "server/rpc/proto_time.h"
#include "server/serving/model_name.h"
#include "server/util/exception_status.h"
#include "server/util/quote.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {
namespace {

constexpr int kMaxCategories = 1000;
constexpr int kMaxWorldSize = 64;
constexpr int kMaxLabels = 16;
constexpr size_t kMaxLabelKey = 64;
constexpr size_t kMaxLabelValue = 256;
constexpr int kMaxSkippedPaths = 100;

absl::Status Invalid(const std::string& field, const std::string& reason,
                     const std::string& message) {
  return MakeError(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
                   {.reason = reason, .field = field});
}

// An error of model/ about the recipe, with the field as the caller knows it.
absl::Status OfSpec(const absl::Status& status) {
  StatusDetails details = GetDetails(status);
  if (details.field.empty()) return status;
  details.field = "spec." + details.field;
  return MakeError(status.code(), absl::StrCat("spec.", status.message()), details);
}

// ---- enums, both ways

constexpr std::pair<v1::DatasetFormat, model::DatasetFormat> kFormats[] = {
    {v1::DATASET_FORMAT_UNSPECIFIED, model::DatasetFormat::kAuto},
    {v1::DATASET_FORMAT_MVTEC, model::DatasetFormat::kMvtec},
    {v1::DATASET_FORMAT_VISA, model::DatasetFormat::kVisa},
    {v1::DATASET_FORMAT_VISA_1CLS, model::DatasetFormat::kVisa1cls},
    {v1::DATASET_FORMAT_REAL_IAD, model::DatasetFormat::kRealIad},
    {v1::DATASET_FORMAT_FOLDER, model::DatasetFormat::kFolder},
    {v1::DATASET_FORMAT_CSV, model::DatasetFormat::kCsv}};

constexpr std::pair<v1::Precision, model::Precision> kPrecisions[] = {
    {v1::PRECISION_FP32, model::Precision::kFp32},
    {v1::PRECISION_TF32, model::Precision::kTf32},
    {v1::PRECISION_BF16, model::Precision::kBf16}};

constexpr std::pair<v1::PositionResize, model::PositionResize> kPositionResizes[] = {
    {v1::POSITION_RESIZE_OFFICIAL, model::PositionResize::kOfficial},
    {v1::POSITION_RESIZE_LINEAGE, model::PositionResize::kLineage}};

constexpr std::pair<v1::TrainJobState, JobState> kStates[] = {
    {v1::TRAIN_JOB_STATE_QUEUED, JobState::kQueued},
    {v1::TRAIN_JOB_STATE_RUNNING, JobState::kRunning},
    {v1::TRAIN_JOB_STATE_SUCCEEDED, JobState::kSucceeded},
    {v1::TRAIN_JOB_STATE_FAILED, JobState::kFailed},
    {v1::TRAIN_JOB_STATE_CANCELLED, JobState::kCancelled}};

constexpr std::pair<v1::TrainPhase, model::TrainPhase> kPhases[] = {
    {v1::TRAIN_PHASE_PREPARING, model::TrainPhase::kPreparing},
    {v1::TRAIN_PHASE_ENCODING, model::TrainPhase::kEncoding},
    {v1::TRAIN_PHASE_TRAINING, model::TrainPhase::kTraining},
    {v1::TRAIN_PHASE_EVALUATING, model::TrainPhase::kEvaluating},
    {v1::TRAIN_PHASE_PUBLISHING, model::TrainPhase::kPublishing}};

template <typename Message, typename Own, size_t N>
std::optional<Own> ToOwn(const std::pair<Message, Own> (&table)[N], Message value) {
  for (const auto& [message, own] : table) {
    if (message == value) return own;
  }
  return std::nullopt;
}

template <typename Message, typename Own, size_t N>
Message ToMessage(const std::pair<Message, Own> (&table)[N], Own value) {
  for (const auto& [message, own] : table) {
    if (own == value) return message;
  }
  return {};
}

absl::Status UnknownEnum(const std::string& field, int value) {
  return Invalid(field, reason::kEnumUnknown, absl::StrCat(value, " is not a value of this enum"));
}

// ---- from the message

absl::Status ParseNames(const v1::TrainJobSpec& from, JobSpec& to) {
  constexpr char kAName[] =
      " is not a name: up to 64 of a-z, 0-9, '-', '_' and '.', beginning with "
      "a letter or a digit, are expected";
  if (!model::IsValidName(from.model_name())) {
    return Invalid("spec.model_name", reason::kNameInvalid,
                   absl::StrCat(Quote(from.model_name()), kAName));
  }
  to.train.model_name = from.model_name();
  const auto& presets = model::PresetNames();
  if (!from.preset().empty() &&
      std::find(presets.begin(), presets.end(), from.preset()) == presets.end()) {
    return Invalid("spec.preset", reason::kPresetUnknown,
                   absl::StrCat(Quote(from.preset()), " is not known; known are ",
                                absl::StrJoin(presets, ", ")));
  }
  to.train.preset = from.preset();
  if (!from.encoder().empty() && !model::IsValidName(from.encoder())) {
    return Invalid("spec.encoder", reason::kNameInvalid,
                   absl::StrCat(Quote(from.encoder()), kAName));
  }
  to.encoder = from.encoder();
  if (!from.init_from().empty() && !ModelName::Parse(from.init_from()).ok()) {
    return Invalid("spec.init_from", reason::kModelNameInvalid,
                   absl::StrCat(Quote(from.init_from()), " is neither NAME nor NAME@VERSION"));
  }
  to.init_from = from.init_from();
  to.train.device = from.device().empty() ? "auto" : from.device();
  return absl::OkStatus();
}

absl::Status ParseDataset(const v1::TrainJobSpec& from, JobSpec& to) {
  if (from.dataset_case() == v1::TrainJobSpec::DATASET_NOT_SET ||
      (from.dataset_path().empty() && from.dataset_id().empty())) {
    return Invalid("spec.dataset_path", reason::kDatasetMissing,
                   "a dataset_path or a dataset_id is expected");
  }
  to.dataset_path = from.dataset_path();
  to.dataset_id = from.dataset_id();
  if (to.dataset_path.find('\0') != std::string::npos) {
    return Invalid("spec.dataset_path", reason::kPathInvalid, "a path must not contain NUL");
  }
  const auto format = ToOwn(kFormats, from.dataset_format());
  if (!format) return UnknownEnum("spec.dataset_format", from.dataset_format());
  to.train.dataset_format = *format;
  if (from.categories_size() > kMaxCategories) {
    return Invalid("spec.categories", reason::kTooManyCategories,
                   absl::StrCat(from.categories_size(), " are given; at most ", kMaxCategories,
                                " are accepted"));
  }
  to.train.categories = {from.categories().begin(), from.categories().end()};
  std::sort(to.train.categories.begin(), to.train.categories.end());
  const auto& names = to.train.categories;
  if (std::adjacent_find(names.begin(), names.end()) != names.end() ||
      std::count(names.begin(), names.end(), "") > 0) {
    return Invalid("spec.categories", reason::kCategoryInvalid,
                   "a category is empty or appears twice");
  }
  to.train.skip_unreadable = from.skip_unreadable();
  return absl::OkStatus();
}

absl::Status ApplyOverrides(const v1::RecipeOverrides& from, model::Recipe& to) {
  if (from.has_epochs()) {
    to.epochs = from.epochs();
    to.steps = 0;
  }
  if (from.has_batch_size()) to.batch_size = from.batch_size();
  if (from.has_learning_rate()) to.learning_rate = from.learning_rate();
  if (from.has_weight_decay()) to.weight_decay = from.weight_decay();
  if (from.has_warmup_steps()) {
    to.warmup_steps = from.warmup_steps();
    to.warmup_epochs = 0;
  }
  if (from.has_dropout()) to.dropout = from.dropout();
  if (from.has_seed()) to.seed = from.seed();
  if (from.precision() != v1::PRECISION_UNSPECIFIED) {
    const auto precision = ToOwn(kPrecisions, from.precision());
    if (!precision) return UnknownEnum("spec.overrides.precision", from.precision());
    to.precision = *precision;
  }
  if (from.has_center_crop()) to.center_crop = from.center_crop();
  if (from.position_resize() != v1::POSITION_RESIZE_UNSPECIFIED) {
    const auto resize = ToOwn(kPositionResizes, from.position_resize());
    if (!resize) return UnknownEnum("spec.overrides.position_resize", from.position_resize());
    to.position_resize = *resize;
  }
  // Bounded so that the value fits an int; Validate refuses values out of range.
  const auto small = [](uint32_t value) { return static_cast<int>(std::min(value, 1u << 20)); };
  if (from.has_decoder_layers()) to.decoder_layers = small(from.decoder_layers());
  if (from.has_input_side()) to.input_side = small(from.input_side());
  if (from.has_adaptive_noisy_bottleneck()) {
    to.adaptive_noisy_bottleneck = from.adaptive_noisy_bottleneck();
  }
  if (from.has_dynamic_decoder()) to.dynamic_decoder = from.dynamic_decoder();
  if (from.has_prototype_constraint()) to.prototype_constraint = from.prototype_constraint();
  if (from.has_principal_start()) to.principal_start = from.principal_start();
  return absl::OkStatus();
}

absl::Status ParseRecipe(const v1::TrainJobSpec& from, JobSpec& to) {
  try {
    to.train.recipe = model::FindRecipe(from.recipe().empty() ? "quick" : from.recipe());
    if (absl::Status status = ApplyOverrides(from.overrides(), to.train.recipe); !status.ok()) {
      return status;
    }
    // FindRecipe uses 0 for "not set"; an explicit 0 is an error.
    if (from.overrides().has_epochs() && from.overrides().epochs() == 0) {
      return Invalid("spec.overrides.epochs", reason::kOutOfRange,
                     "must be from 1 to 100000, and is 0");
    }
    model::Validate(to.train.recipe);
    return absl::OkStatus();
  } catch (...) {
    return OfSpec(StatusOfCurrentException());
  }
}

absl::Status ParseShares(const v1::TrainJobSpec& from, model::TrainSpec& to) {
  if (from.has_validation_share()) to.validation_share = from.validation_share();
  if (!(to.validation_share >= 0 && to.validation_share < 1)) {
    return Invalid("spec.validation_share", reason::kOutOfRange,
                   absl::StrCat(to.validation_share, " is not at least 0 and below 1"));
  }
  if (from.has_false_reject_budget()) to.false_reject_budget = from.false_reject_budget();
  if (!(to.false_reject_budget > 0 && to.false_reject_budget < 1)) {
    return Invalid("spec.false_reject_budget", reason::kOutOfRange,
                   absl::StrCat(to.false_reject_budget, " is not above 0 and below 1"));
  }
  return absl::OkStatus();
}

absl::Status ParseMinimum(const v1::MetricMinimum& from, const std::string& field,
                          model::Gate& gate) {
  const auto& known = model::MetricNames();
  if (std::find(known.begin(), known.end(), from.name()) == known.end()) {
    return Invalid(
        field + ".name", reason::kMetricUnknown,
        absl::StrCat(Quote(from.name()), " is not known; known are ", absl::StrJoin(known, ", ")));
  }
  if (!(from.minimum() >= 0 && from.minimum() <= 1)) {
    return Invalid(field + ".minimum", reason::kOutOfRange,
                   absl::StrCat(from.minimum(), " is not from 0 to 1"));
  }
  gate.minimums.push_back({from.name(), from.category(), from.minimum()});
  return absl::OkStatus();
}

absl::Status ParseGate(const v1::TrainJobSpec& from, JobSpec& to) {
  to.activate_on_success = from.activate_on_success();
  if (!from.activate_on_success()) {
    if (!from.has_gate()) return absl::OkStatus();
    return Invalid("spec.gate", reason::kGateWithoutActivation, "a gate needs activate_on_success");
  }
  model::Gate& gate = to.train.gate.emplace();
  gate.not_worse_than_active = from.gate().not_worse_than_active();
  gate.tolerance = from.gate().tolerance();
  if (!(gate.tolerance >= 0 && std::isfinite(gate.tolerance))) {
    return Invalid("spec.gate.tolerance", reason::kOutOfRange, "at least 0 is expected");
  }
  for (int i = 0; i < from.gate().minimums_size(); ++i) {
    const std::string field = absl::StrCat("spec.gate.minimums[", i, "]");
    if (absl::Status status = ParseMinimum(from.gate().minimums(i), field, gate); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::Status ParseWorldSize(const v1::TrainJobSpec& from, model::TrainSpec& to) {
  if (from.world_size() > kMaxWorldSize) {
    return Invalid("spec.world_size", reason::kOutOfRange,
                   absl::StrCat(from.world_size(), " is not from 0 to ", kMaxWorldSize));
  }
  if (from.world_size() <= 1) return absl::OkStatus();
  if (to.recipe.batch_size % from.world_size() != 0) {
    return Invalid("spec.world_size", reason::kBatchNotDivisible,
                   absl::StrCat("the batch of ", to.recipe.batch_size, " cannot be split between ",
                                from.world_size(), " processes"));
  }
  to.world_size = static_cast<int>(from.world_size());
  return absl::OkStatus();
}

absl::Status ParseLabels(const v1::TrainJobSpec& from, JobSpec& to) {
  if (from.labels_size() > kMaxLabels) {
    return Invalid(
        "spec.labels", reason::kTooManyLabels,
        absl::StrCat(from.labels_size(), " are given; at most ", kMaxLabels, " are accepted"));
  }
  for (const auto& [key, value] : from.labels()) {
    if (key.empty() || key.size() > kMaxLabelKey || value.size() > kMaxLabelValue) {
      return Invalid("spec.labels", reason::kLabelTooLong,
                     absl::StrCat("label ", Quote(key), " has a key of more than ", kMaxLabelKey,
                                  " bytes or none, or a value of more than ", kMaxLabelValue));
    }
    to.labels[key] = value;
  }
  return absl::OkStatus();
}

// Equal specifications have equal digests.
std::string DigestOf(const v1::TrainJobSpec& spec) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);  // labels are a map, without an order of their own
    spec.SerializeToCodedStream(&coded);
  }
  return model::Sha256Hex(bytes);
}

// ---- to the message

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
}

}  // namespace

absl::StatusOr<JobSpec> ParseTrainJobSpec(const v1::TrainJobSpec& from) {
  JobSpec to;
  for (const auto parse : {ParseNames, ParseDataset, ParseRecipe}) {
    if (absl::Status status = parse(from, to); !status.ok()) return status;
  }
  if (absl::Status status = ParseShares(from, to.train); !status.ok()) return status;
  if (absl::Status status = ParseGate(from, to); !status.ok()) return status;
  if (absl::Status status = ParseWorldSize(from, to.train); !status.ok()) return status;
  if (absl::Status status = ParseLabels(from, to); !status.ok()) return status;
  to.request_digest = DigestOf(from);
  return to;
}

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

std::optional<JobState> ParseState(v1::TrainJobState state) { return ToOwn(kStates, state); }

}  // namespace proad::server
