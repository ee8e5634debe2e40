#include "model/training/distil_run.h"

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "model/dataset/photographs.h"
#include "model/files/atomic_file.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/safetensors.h"
#include "model/files/sha256.h"
#include "model/files/tensor_file.h"
#include "model/files/text.h"
#include "model/network/device.h"
#include "model/network/vision_transformer.h"
#include "model/network/weight_import.h"
#include "model/spec/manifest.h"
#include "model/spec/preset.h"
#include "model/spec/shuffle.h"
#include "model/training/distiller.h"
#include "model/training/stopwatch.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kEvaluationBatches = 32;

VisionTransformer MakeStudent(const DistilSpec& spec) {
  EncoderConfig config = PresetConfig(spec.preset).encoder;
  if (config.kind != EncoderKind::kVisionTransformer) {
    throw InvalidInput("preset", "PRESET_INVALID",
                       "a student is a vision transformer, and preset " + Quote(spec.preset) +
                           " has none; proad-tiny, proad-small, proad-base or proad-large is "
                           "expected");
  }
  std::optional<ImportedEncoder> start;
  if (!spec.init_from.empty()) {
    start = ImportEncoder(ReadTensorFile(spec.init_from), config);
    config = start->config;
  }
  at::manual_seed(DeriveSeed(spec.options.seed, kInitialWeightsStream));
  VisionTransformer student(config);
  if (start) LoadEncoder(*student, *start);
  student->to(torch::Device(ResolveDevice(spec.device)));
  return student;
}

// Writes an encoder file: F16, official names.
void WriteEncoder(const VisionTransformer& student, const fs::path& path) {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, TensorView> views;
  for (const auto& item : student->named_parameters()) {
    torch::Tensor& tensor = tensors[item.key()];
    tensor = item.value().detach().to(at::kCPU, at::kHalf).contiguous();
    if (!tensor.isfinite().all().item<bool>()) {
      throw InvalidInput("precision", "OUT_OF_RANGE",
                         "the weight " + item.key() + " does not fit into half precision");
    }
    views[item.key()] = {DType::kF16,
                         tensor.sizes().vec(),
                         {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
  WriteSafetensors(path, views);
}

class Run {
 public:
  Run(const DistilSpec& spec, const DistilContext& context,
      const std::function<bool(const DistilProgress&)>& observe)
      : spec_(spec),
        context_(context),
        observe_(observe),
        student_(MakeStudent(spec)),
        teacher_(LoadTeacher(spec.teacher, spec.options.groups, student_->config().patch,
                             student_->cls_token.device())),
        photographs_(spec.photographs, context.limits),
        distiller_(
            student_, *teacher_, [this](int64_t number) { return photographs_.Read(number); },
            photographs_.size(), spec.options),
        recipe_(Recipe()) {
    progress_.steps = spec.options.steps;
  }

  std::optional<DistilResult> operator()() {
    // The recipe determines the results of a run, except for the machine.
    TrainingPosition position{0, 0, Sha256Hex(recipe_.dump())};
    if (const auto restored = RestoreTraining(context_.directory, distiller_)) {
      if (restored->data_fingerprint != position.data_fingerprint) {
        throw InvalidInput("work", "RUN_CHANGED",
                           "the run in " + context_.directory.string() +
                               " has another teacher, other photographs or other options; use the "
                               "same ones, or another directory");
      }
      position = *restored;
    } else {
      distiller_.Begin(/*fresh=*/spec_.init_from.empty());
    }
    Stopwatch since_checkpoint;
    while (distiller_.step() < spec_.options.steps) {
      position.loss = Step();
      position.step = distiller_.step();
      const bool stop = !observe_(progress_);
      if (stop || position.step == spec_.options.steps ||
          since_checkpoint.Seconds() >= context_.checkpoint_seconds) {
        SaveTraining(context_.directory, distiller_, position);
        since_checkpoint.Restart();
      }
      if (stop) return std::nullopt;
    }
    const DistilResult result = {distiller_.Evaluate(kEvaluationBatches), photographs_.skipped()};
    WriteEncoder(student_, context_.output);
    WriteCard(result);
    return result;
  }

 private:
  double Step() {
    constexpr double kMemory = 0.98;
    const Stopwatch watch;
    const Distiller::StepFigures figures = distiller_.Step();
    const double rate = 1 / watch.Seconds();
    const bool first = progress_.unexplained.empty();
    const auto blend = [first](double before, double now) {
      return first ? now : kMemory * before + (1 - kMemory) * now;
    };
    progress_.step = distiller_.step();
    progress_.loss = blend(progress_.loss, figures.loss);
    progress_.steps_per_second = blend(progress_.steps_per_second, rate);
    progress_.unexplained.resize(figures.unexplained.size());
    for (size_t g = 0; g < figures.unexplained.size(); ++g) {
      progress_.unexplained[g] = blend(progress_.unexplained[g], figures.unexplained[g]);
    }
    progress_.learning_rate = figures.learning_rate;
    return progress_.loss;
  }

  // All inputs that determine the student's weights.
  Json Recipe() const {
    const DistilOptions& options = spec_.options;
    Json folders = Json::array();
    for (const fs::path& folder : spec_.photographs) {
      folders.push_back(
          (folder.has_filename() ? folder : folder.parent_path()).filename().string());
    }
    const EncoderConfig& config = student_->config();
    Json start = nullptr;
    if (!spec_.init_from.empty()) start = FileEntry(spec_.init_from);
    return {{"encoder",
             {{"preset", spec_.preset},
              {"width", config.width},
              {"heads", config.heads},
              {"blocks", config.blocks},
              {"patch", config.patch},
              {"registers", config.registers},
              {"position_grid", config.position_grid},
              {"taps", config.taps}}},
            {"teacher", FileEntry(spec_.teacher)},
            {"photographs",
             {{"folders", folders},
              {"count", photographs_.size()},
              {"fingerprint", photographs_.fingerprint()}}},
            {"init_from", start},
            {"steps", options.steps},
            {"batch_patches", options.batch_patches},
            {"sides", options.sides},
            {"tiles", options.view.tiles},
            {"groups", options.groups},
            {"learning_rate", options.learning_rate},
            {"weight_decay", options.weight_decay},
            {"seed", options.seed},
            {"precision", NameOf(options.precision)}};
  }

  static Json FileEntry(const fs::path& path) {
    return {{"file", path.filename().string()}, {"sha256", Sha256File(path)}};
  }

  void WriteCard(const DistilResult& result) const {
    Json card = {{"format", 1},
                 {"sha256", Sha256File(context_.output)},
                 {"created", NowUtc()},
                 {"code_version", context_.code_version}};
    card.update(recipe_);
    card["teacher"]["kind"] = teacher_->name();
    card["photographs"]["skipped"] = result.skipped.size();
    card["unexplained"] = result.unexplained;
    fs::path path = context_.output;
    AtomicFile file(path += ".json");
    file.Write(card.dump(2) + "\n");
    file.Commit();
  }

  const DistilSpec& spec_;
  const DistilContext& context_;
  const std::function<bool(const DistilProgress&)>& observe_;
  VisionTransformer student_;
  const std::unique_ptr<Teacher> teacher_;
  const Photographs photographs_;
  Distiller distiller_;
  const Json recipe_;
  DistilProgress progress_;
};

}  // namespace

std::optional<DistilResult> Distil(const DistilSpec& spec, const DistilContext& context,
                                   const std::function<bool(const DistilProgress&)>& observe) {
  return Run(spec, context, observe)();
}

}  // namespace proad::model
