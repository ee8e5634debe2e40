#include "server/rpc/train_spec_parser.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "server/rpc/train_enums.h"
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

absl::Status UnknownEnum(const std::string& field, int value) {
  return Invalid(field, reason::kEnumUnknown, absl::StrCat(value, " is not a value of this enum"));
}

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

absl::Status ParseReading(const v1::TrainJobSpec& from, JobSpec& to) {
  if (from.orientation() != v1::ORIENTATION_UNSPECIFIED) {
    to.train.orientation = ToOwn(kOrientations, from.orientation());
    if (!to.train.orientation) return UnknownEnum("spec.orientation", from.orientation());
  }
  if (from.image_bits() == 0) return absl::OkStatus();
  const uint32_t bits = from.image_bits();
  if (bits != 10 && bits != 12 && bits != 14 && bits != 16) {
    return Invalid("spec.image_bits", reason::kOutOfRange,
                   absl::StrCat(bits, " is none of 0, 10, 12, 14 and 16"));
  }
  to.train.bits = static_cast<int>(bits);
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

}  // namespace

absl::StatusOr<JobSpec> ParseTrainJobSpec(const v1::TrainJobSpec& from) {
  JobSpec to;
  for (const auto parse : {ParseNames, ParseDataset, ParseReading, ParseRecipe}) {
    if (absl::Status status = parse(from, to); !status.ok()) return status;
  }
  if (absl::Status status = ParseShares(from, to.train); !status.ok()) return status;
  if (absl::Status status = ParseGate(from, to); !status.ok()) return status;
  if (absl::Status status = ParseWorldSize(from, to.train); !status.ok()) return status;
  if (absl::Status status = ParseLabels(from, to); !status.ok()) return status;
  to.request_digest = DigestOf(from);
  return to;
}

std::optional<JobState> ParseState(v1::TrainJobState state) { return ToOwn(kStates, state); }

}  // namespace proad::server
