#include "client/cli/train_options.h"

#include <CLI/Config.hpp>
#include <filesystem>
#include <functional>
#include <system_error>
#include <type_traits>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/cli/options.h"

namespace proad::client {
namespace {

constexpr char kDefaultPreset[] = "proad-pyramid";

// CLI11 converts -1 to the largest unsigned number.
std::string CheckSign(const std::string& text) {
  return absl::StartsWith(text, "-") ? absl::StrCat("'", text, "' must not be negative") : "";
}

template <typename Value>
void AddValue(CLI::App& command, const std::string& name, std::function<void(const Value&)> set,
              const std::string& description) {
  CLI::Option* const option = command.add_option_function<Value>(name, std::move(set), description);
  if constexpr (std::is_unsigned_v<Value>) option->check(CheckSign);
}

// Adds the options that select network, weights and devices.
void AddModelOptions(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec& spec = *options.request.mutable_spec();
  command.add_option(
      "--name", options.model_name,
      "name of the model that gets the new version (default: the name in --init-from, "
      "else the preset)");
  AddValue<std::string>(
      command, "--preset", [&spec](const std::string& preset) { spec.set_preset(preset); },
      absl::StrCat("name of a preset, the size of the network (default: ", kDefaultPreset,
                   "); an unknown name is answered with the list"));
  AddValue<std::string>(
      command, "--recipe", [&spec](const std::string& recipe) { spec.set_recipe(recipe); },
      "name of a recipe of the server (default: quick); an unknown name is answered with the list");
  AddValue<std::string>(
      command, "--init-from", [&spec](const std::string& version) { spec.set_init_from(version); },
      "start with the weights of this version: NAME or NAME@VERSION");
  AddValue<std::string>(
      command, "--encoder", [&spec](const std::string& encoder) { spec.set_encoder(encoder); },
      "name of the frozen encoder on the server (default: the encoder of the preset)");
  AddValue<std::string>(
      command, "--device", [&spec](const std::string& device) { spec.set_device(device); },
      "training device: auto (default), cpu, cuda or cuda:N");
  AddValue<uint32_t>(
      command, "--world-size", [&spec](uint32_t size) { spec.set_world_size(size); },
      "number of processes that train together on the server's machine, each with one GPU or its "
      "part of the cores (default: 1)");
}

void AddNumbers(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec* const spec = options.request.mutable_spec();
  const auto recipe = [spec] { return spec->mutable_overrides(); };
  AddValue<uint32_t>(
      command, "--epochs", [recipe](uint32_t value) { recipe()->set_epochs(value); },
      "number of passes over the training images");
  AddValue<uint32_t>(
      command, "--batch-size", [recipe](uint32_t value) { recipe()->set_batch_size(value); },
      "images per training step");
  AddValue<double>(
      command, "--learning-rate", [recipe](double value) { recipe()->set_learning_rate(value); },
      "highest learning rate");
  AddValue<double>(
      command, "--weight-decay", [recipe](double value) { recipe()->set_weight_decay(value); },
      "weight decay");
  AddValue<uint32_t>(
      command, "--warmup-steps", [recipe](uint32_t value) { recipe()->set_warmup_steps(value); },
      "number of steps in which the learning rate rises");
  AddValue<double>(
      command, "--dropout", [recipe](double value) { recipe()->set_dropout(value); },
      "dropout probability of the noisy bottleneck");
  AddValue<uint64_t>(
      command, "--seed", [recipe](uint64_t value) { recipe()->set_seed(value); },
      "seed of all random numbers");
  AddValue<uint32_t>(
      command, "--input-side", [recipe](uint32_t value) { recipe()->set_input_side(value); },
      "height and width of the network's input, in pixels");
  AddValue<uint32_t>(
      command, "--decoder-layers",
      [recipe](uint32_t value) { recipe()->set_decoder_layers(value); },
      "number of decoder layers");
}

void AddSwitches(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec* const spec = options.request.mutable_spec();
  const auto recipe = [spec] { return spec->mutable_overrides(); };
  AddChoice<proad::v1::Precision>(
      command, "--precision",
      {{"fp32", proad::v1::PRECISION_FP32},
       {"tf32", proad::v1::PRECISION_TF32},
       {"bf16", proad::v1::PRECISION_BF16}},
      [recipe](proad::v1::Precision precision) { recipe()->set_precision(precision); },
      "arithmetic: fp32, tf32 or bf16");
  AddChoice<proad::v1::PositionResize>(
      command, "--position-resize",
      {{"official", proad::v1::POSITION_RESIZE_OFFICIAL},
       {"lineage", proad::v1::POSITION_RESIZE_LINEAGE}},
      [recipe](proad::v1::PositionResize resize) { recipe()->set_position_resize(resize); },
      "resizing of the encoder's position grid: official or lineage");
  command.add_flag_function(
      "--center-crop,!--no-center-crop",
      [recipe](int64_t count) { recipe()->set_center_crop(count > 0); },
      "use the centre of the images, as the paper does, or the whole images");
  command.add_flag_function(
      "--principal-start,!--no-principal-start",
      [recipe](int64_t count) { recipe()->set_principal_start(count > 0); },
      "start with the principal directions of the images' features, or with random weights");
  const auto without = [&command](const std::string& part, std::function<void()> set) {
    command.add_flag_function(
        absl::StrCat("--no-", part), [set = std::move(set)](int64_t) { set(); },
        "ablation: train without this part");
  };
  without("adaptive-noisy-bottleneck",
          [recipe] { recipe()->set_adaptive_noisy_bottleneck(false); });
  without("dynamic-decoder", [recipe] { recipe()->set_dynamic_decoder(false); });
  without("prototype-constraint", [recipe] { recipe()->set_prototype_constraint(false); });
}

void AddDatasetOptions(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec& spec = *options.request.mutable_spec();
  command
      .add_option(
          "dataset", options.dataset,
          "folder, or CSV or JSON list, below the server's data root; with --upload: folder "
          "on this machine")
      ->type_name("DATASET");
  command.add_flag("--upload", options.upload, "upload the folder to the server first");
  command.add_option("--dataset-id", options.dataset_id,
                     "id of an uploaded dataset; with --upload: the id to upload it under");
  AddChoice<proad::v1::DatasetFormat>(
      command, "--format",
      {{"mvtec", proad::v1::DATASET_FORMAT_MVTEC},
       {"visa", proad::v1::DATASET_FORMAT_VISA},
       {"visa_1cls", proad::v1::DATASET_FORMAT_VISA_1CLS},
       {"real_iad", proad::v1::DATASET_FORMAT_REAL_IAD},
       {"folder", proad::v1::DATASET_FORMAT_FOLDER},
       {"csv", proad::v1::DATASET_FORMAT_CSV}},
      [&spec](proad::v1::DatasetFormat format) { spec.set_dataset_format(format); },
      "layout of the dataset: mvtec, visa, visa_1cls, real_iad, folder or csv (default: recognised "
      "by the server)");
  command
      .add_option_function<std::vector<std::string>>(
          "--category",
          [&spec](const std::vector<std::string>& categories) {
            for (const std::string& category : categories) spec.add_categories(category);
          },
          "train on this product class only; repeatable (default: all)")
      ->type_name("NAME")
      ->allow_extra_args(false);
  command.add_flag_function(
      "--skip-unreadable", [&spec](int64_t) { spec.set_skip_unreadable(true); },
      "skip unreadable images instead of failing");
  command
      .add_option_function<std::string>(
          "--orientation",
          [&spec](const std::string& name) {
            spec.set_orientation(name == "apply" ? proad::v1::ORIENTATION_APPLY
                                                 : proad::v1::ORIENTATION_IGNORE);
          },
          "turn images as their orientation tag says, or ignore it (default: image.orientation of "
          "the server)")
      ->check(CLI::IsMember({"ignore", "apply"}));
  AddValue<uint32_t>(
      command, "--image-bits", [&spec](uint32_t bits) { spec.set_image_bits(bits); },
      "significant bits of 16 bit samples: 10, 12, 14 or 16 (default: image.bits of the server, "
      "else as the files state)");
}

void AddThresholdOptions(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec& spec = *options.request.mutable_spec();
  AddValue<double>(
      command, "--validation-share", [&spec](double share) { spec.set_validation_share(share); },
      "share of the good images held out to choose provisional thresholds (default: 0.1)");
  AddValue<double>(
      command, "--false-reject-budget",
      [&spec](double budget) { spec.set_false_reject_budget(budget); },
      "share of good parts that the thresholds may reject (default: 0.01)");
}

void AddGateOptions(CLI::App& command, TrainOptions& options) {
  proad::v1::TrainJobSpec* const spec = options.request.mutable_spec();
  command.add_flag_function(
      "--activate", [spec](int64_t) { spec->set_activate_on_success(true); },
      "activate the version when the job has succeeded and the version passes the gate");
  command
      .add_option_function<std::vector<std::string>>(
          "--gate",
          [&options, spec](const std::vector<std::string>& minimums) {
            options.gate = true;
            for (const std::string& minimum : minimums) {
              *spec->mutable_gate()->add_minimums() = *ParseMinimum(minimum);
            }
          },
          "lowest value of a metric for the activation, for example 'image_auroc>=0.9' or "
          "'aupro/pcb>=0.8' (in quotes); repeatable")
      ->type_name("METRIC[/CATEGORY]>=VALUE")
      ->allow_extra_args(false)
      ->check([](const std::string& text) {
        return std::string(ParseMinimum(text).status().message());
      });
  command.add_flag_function(
      "--not-worse-than-active",
      [&options, spec](int64_t) {
        options.gate = true;
        spec->mutable_gate()->set_not_worse_than_active(true);
      },
      "activate the version only if it is not worse than the active one on the same images");
  command.add_option_function<double>(
      "--tolerance",
      [&options, spec](double tolerance) {
        options.gate = true;
        spec->mutable_gate()->set_tolerance(tolerance);
      },
      "difference up to which a lower metric is not worse (default: 0)");
}

void AddCallOptions(CLI::App& command, TrainOptions& options) {
  proad::v1::CreateTrainJobRequest& request = options.request;
  AddLabels(
      command,
      [&request](const std::string& key, const std::string& value) {
        (*request.mutable_spec()->mutable_labels())[key] = value;
      },
      "label of the job, for lists; repeatable");
  AddValue<std::string>(
      command, "--request-id", [&request](const std::string& id) { request.set_request_id(id); },
      "id that makes repeating the command safe: the same id creates one job only");
  command.add_flag_function(
      "--validate-only", [&request](int64_t) { request.set_validate_only(true); },
      "check the job without creating it");
  command.add_flag("--watch", options.watch, "report the job's progress until it ends");
  AddPatience(command, options.patience);
  command.add_flag("--json", options.json,
                   "print the job as one JSON object; with --watch: one object per report");
}

}  // namespace

void AddTrainOptions(CLI::App& command, TrainOptions& options) {
  AddDatasetOptions(command, options);
  AddThresholdOptions(command, options);
  AddModelOptions(command, options);
  AddNumbers(command, options);
  AddSwitches(command, options);
  AddGateOptions(command, options);
  AddServerOptions(command, options.server);
  AddCallOptions(command, options);
}

std::string CheckTrainOptions(const TrainOptions& options) {
  if (options.dataset.empty() && options.dataset_id.empty()) {
    return "the dataset is missing: give DATASET, or --dataset-id ID for an uploaded dataset";
  }
  if (options.upload && options.dataset.empty()) {
    return "--upload needs DATASET, the folder to upload";
  }
  if (!options.upload && !options.dataset.empty() && !options.dataset_id.empty()) {
    return "DATASET and --dataset-id are two datasets: give one of them, or add --upload to upload "
           "DATASET under that id";
  }
  if (options.upload && options.request.validate_only()) {
    return "--validate-only cannot be used with --upload: upload the folder with 'proad dataset "
           "upload', then check with --dataset-id";
  }
  if (options.gate && !options.request.spec().activate_on_success()) {
    return "--gate, --not-worse-than-active and --tolerance need --activate";
  }
  if (options.watch && options.request.validate_only()) {
    return "--watch cannot be used with --validate-only, which creates no job";
  }
  return "";
}

absl::StatusOr<proad::v1::MetricMinimum> ParseMinimum(const std::string& text) {
  const size_t equals = text.find('=');
  size_t end = equals;
  if (equals != std::string::npos && equals > 0 && text[equals - 1] == '>') --end;
  proad::v1::MetricMinimum minimum;
  double value = 0;
  const bool complete = equals != std::string::npos && end > 0;
  if (!complete || !absl::SimpleAtod(text.substr(equals + 1), &value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text,
                     "' is not METRIC>=VALUE or METRIC/CATEGORY>=VALUE; give for example "
                     "'image_auroc>=0.9', in quotes, because the shell interprets >"));
  }
  if (!(value >= 0 && value <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': the value must be between 0 and 1"));
  }
  const std::string metric = text.substr(0, end);
  const size_t slash = metric.find('/');
  minimum.set_name(metric.substr(0, slash));
  if (slash != std::string::npos) minimum.set_category(metric.substr(slash + 1));
  minimum.set_minimum(value);
  return minimum;
}

std::string PathForServer(const std::string& given) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(given, error);
  return error ? given : real.string();
}

std::string ModelNameOf(const TrainOptions& options) {
  if (!options.model_name.empty()) return options.model_name;
  const proad::v1::TrainJobSpec& spec = options.request.spec();
  if (!spec.init_from().empty()) return spec.init_from().substr(0, spec.init_from().find('@'));
  return spec.preset().empty() ? kDefaultPreset : spec.preset();
}

}  // namespace proad::client
