#include "model/training/train_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#include "model/files/error.h"
#include "model/files/sha256.h"
#include "model/files/tensor_file.h"
#include "model/network/checkpoint.h"
#include "model/network/device.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/import_version.h"
#include "model/network/pro_ad.h"
#include "model/network/probe.h"
#include "model/network/weight_import.h"
#include "model/spec/calibration.h"
#include "model/spec/preset.h"
#include "model/spec/shuffle.h"
#include "model/spec/train_data.h"
#include "model/spec/version_directory.h"
#include "model/training/evaluator.h"
#include "model/training/feature_cache.h"
#include "model/training/initial_weights.h"
#include "model/training/process_group.h"
#include "model/training/stopwatch.h"
#include "model/training/trainer.h"
#include "model/training/training_state.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

// A rate over the last seconds.
class Speed {
 public:
  void Add(double amount, double seconds) {
    constexpr double kMemory = 5;  // seconds
    const double keep = std::max(0.0, 1 - seconds / kMemory);
    amount_ = amount_ * keep + amount;
    seconds_ = seconds_ * keep + seconds;
  }
  double PerSecond() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }

 private:
  double amount_ = 0;
  double seconds_ = 0;
};

// The network that a run trains, with its frozen encoder.
struct Subject {
  ProAd model{nullptr};
  Preprocessing preprocessing;
  EncoderIdentity encoder;
  std::string init_from;  // "name@version"
};

void CopyWeights(const ProAd& from, ProAd& to) {
  const torch::NoGradGuard no_grad;
  const auto source = from->TrainableParameters();
  for (auto& parameter : to->TrainableParameters())
    parameter.value().copy_(source[parameter.key()]);
}

// The weights to start from, of a version of the same network and encoder.
void StartFrom(const fs::path& version, Subject& subject) {
  const Checkpoint start = LoadCheckpoint(version);
  if (!(start.manifest.config == subject.model->config()) ||
      start.manifest.encoder.sha256 != subject.encoder.sha256) {
    throw InvalidInput("init_from", "INIT_FROM_MISMATCH",
                       "init_from " + start.manifest.name + "@" + start.manifest.version +
                           " has another network or another encoder than the job; the same preset, "
                           "overrides and encoder are needed");
  }
  CopyWeights(start.model, subject.model);
  subject.init_from = start.manifest.name + "@" + start.manifest.version;
}

Subject MakeSubject(const TrainSpec& spec) {
  Subject subject;
  Network network = NetworkOf(spec.preset, spec.recipe);
  const ImportedEncoder encoder =
      ImportEncoder(ReadTensorFile(spec.encoder_file), network.config.encoder);
  network.config.encoder = encoder.config;
  subject.preprocessing = network.preprocessing;
  subject.encoder = {spec.encoder_file.filename(), Sha256File(spec.encoder_file),
                     NameOf(encoder.dialect)};
  at::manual_seed(DeriveSeed(spec.recipe.seed, kInitialWeightsStream));
  subject.model = ProAd(network.config);
  LoadEncoder(*subject.model->encoder, encoder);
  if (!spec.init_from.empty()) StartFrom(spec.init_from, subject);
  return subject;
}

// What maps of good parts look like gives the colours their range: cold is half of all pixels, hot
// twice what is the hottest place of a good part in the median.
MapRange RangeOf(std::vector<MapFigures> good, const std::string& preset) {
  if (good.empty()) return PresetMapRange(preset);
  const auto median = [&good](double MapFigures::*member) {
    const auto middle = good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2);
    std::nth_element(good.begin(), middle, good.end(),
                     [member](const auto& a, const auto& b) { return a.*member < b.*member; });
    return (*middle).*member;
  };
  const double low = median(&MapFigures::median);
  const double high = 2 * median(&MapFigures::maximum);
  return {static_cast<float>(low), static_cast<float>(std::max(high, low + 1e-3))};
}

std::map<std::string, double> MetricTable(const std::optional<Evaluation>& evaluation) {
  std::map<std::string, double> table;
  if (!evaluation) return table;
  for (const Metric& metric : evaluation->metrics) {
    table[metric.category.empty() ? metric.name : metric.name + "/" + metric.category] =
        metric.value;
  }
  return table;
}

// The one that this process is to compute on: of several on one machine each has its own GPU.
torch::Device DeviceOf(const TrainSpec& spec, const Rendezvous* processes) {
  if (processes == nullptr || !spec.device.starts_with("cuda")) {
    return torch::Device(ResolveDevice(spec.device));
  }
  const int number = processes->membership().local_rank;
  return torch::Device(ResolveDevice("cuda:" + std::to_string(number)));
}

class Run {
 public:
  Run(const TrainSpec& spec, const TrainContext& context, TrainObserver& observer)
      : spec_(spec),
        context_(context),
        observer_(observer),
        device_(DeviceOf(spec, context.processes)),
        processes_(context.processes, device_) {}

  TrainOutcome operator()() {
    Enter(TrainPhase::kPreparing);
    data_ = OpenTrainData(spec_, context_.limits);
    subject_ = MakeSubject(spec_);
    subject_.model->to(device_);
    progress_.device = subject_.model->prototypes.device().str();

    Enter(TrainPhase::kEncoding);
    EncodePictures();
    Enter(TrainPhase::kTraining);
    TrainModel();
    if (processes_.rank() != 0) return std::move(outcome_);
    Enter(TrainPhase::kEvaluating);
    MeasureModel();
    Enter(TrainPhase::kPublishing);
    Publish();
    return std::move(outcome_);
  }

 private:
  void Enter(TrainPhase phase) {
    progress_.phase = phase;
    progress_.done = progress_.total = 0;
    progress_.eta_seconds.reset();
    ReportOrStop();
  }

  void ReportOrStop() {
    Report();
    if (observer_.StopRequested()) throw Interrupted();
  }

  void Report() {
    if (progress_.phase == TrainPhase::kEvaluating) {
      progress_.eta_seconds =
          static_cast<double>(progress_.total - progress_.done) * seconds_a_picture_;
    }
    observer_.OnProgress(progress_);
  }

  // Runs `each` over pictures; those that cannot be read are left out where that is allowed.
  template <typename Each>
  void ForEachPicture(const std::vector<Sample>& samples, const Each& each) {
    for (const Sample& sample : samples) {
      if (!TryPicture(sample, each)) data_.skipped.push_back(sample.name);
      ++progress_.done;
      ReportOrStop();
    }
  }

  template <typename Each>
  bool TryPicture(const Sample& sample, const Each& each) {
    try {
      each(sample);
      return true;
    } catch (const UnreadableImage&) {
      if (!spec_.skip_unreadable) throw;
      return false;
    }
  }

  void EncodePictures() {
    features_ = std::make_unique<FeatureCache>(
        subject_.model, subject_.preprocessing, subject_.encoder.sha256,
        FeatureCache::Options{.keep = true,
                              .memory_bytes = context_.feature_memory_bytes,
                              .directory = context_.directory / "features",
                              .limits = context_.limits});
    const Stopwatch watch;
    if (processes_.size() > 1) EncodeShare();
    progress_.total = static_cast<int64_t>(data_.train.size());
    ForEachPicture(data_.train, [this](const Sample& sample) { features_->Add(sample); });
    seconds_a_picture_ =
        watch.Seconds() / static_cast<double>(std::max<size_t>(1, data_.train.size()));
    progress_.train_images = features_->size();
  }

  // Every process encodes its part onto the disk that they share, and then finds all.
  void EncodeShare() {
    const auto size = static_cast<size_t>(processes_.size());
    progress_.total = static_cast<int64_t>(data_.train.size());
    for (auto i = static_cast<size_t>(processes_.rank()); i < data_.train.size(); i += size) {
      TryPicture(data_.train[i], [this](const Sample& sample) { features_->Store(sample); });
      progress_.done = std::min(progress_.done + processes_.size(), progress_.total);
      ReportOrStop();
    }
    processes_.Wait();
    progress_.done = 0;
  }

  // Brings the trainer, and with it those of all processes, to the last checkpoint.
  TrainingPosition Begin(Trainer& trainer) {
    TrainingPosition position{0, 0, data_.fingerprint};
    if (processes_.rank() == 0) {
      if (const auto restored = RestoreTraining(context_.directory, trainer)) position = *restored;
      if (position.data_fingerprint != data_.fingerprint) {
        throw DatasetChanged(
            "dataset",
            "the dataset's pictures are not those that the job started with; bring "
            "them back, or start a new job");
      }
    }
    if (!processes_.AgreesWithFirst(data_.fingerprint + " " + std::to_string(features_->size()))) {
      throw InvalidInput("dataset", "DATASET_DIFFERS",
                         "process " + std::to_string(processes_.rank()) +
                             " of this training finds other pictures than process 0; all must see "
                             "the same dataset");
    }
    trainer.Unite();
    position.step = trainer.step();
    return position;
  }

  void TrainModel() {
    if (spec_.init_from.empty() && spec_.recipe.principal_start.value_or(false)) {
      StartFromPrincipalDirections(subject_.model, *features_);
    }
    Trainer trainer(subject_.model, spec_.recipe, *features_, processes_);
    TrainingPosition position = Begin(trainer);
    progress_.steps = trainer.length().steps;
    progress_.epochs = trainer.length().epochs;
    progress_.loss = position.loss;
    ReportStep(trainer, position.step);

    Speed speed;
    Stopwatch since_checkpoint;
    double writing = 0;  // seconds that the last checkpoint took
    while (trainer.step() < trainer.length().steps) {
      const Stopwatch watch;
      const Trainer::StepFigures figures = trainer.Step();
      speed.Add(static_cast<double>(spec_.recipe.batch_size), watch.Seconds());
      position.step = trainer.step();
      position.loss = progress_.loss = figures.loss;
      progress_.learning_rate = figures.learning_rate;
      progress_.images_per_second = speed.PerSecond();

      const bool stop = processes_.Any(observer_.StopRequested());
      const double due = std::max(context_.checkpoint_seconds, 20 * writing);
      const bool save =
          stop || position.step == progress_.steps || since_checkpoint.Seconds() >= due;
      if (save && processes_.rank() == 0) {
        const Stopwatch write;
        SaveTraining(context_.directory, trainer, position);
        writing = write.Seconds();
        since_checkpoint.Restart();
        progress_.checkpoint_step = position.step;
      }
      ReportStep(trainer, progress_.checkpoint_step);
      if (stop) throw Interrupted();
    }
    subject_.model->eval();
    outcome_.steps = position.step;
    outcome_.final_loss = position.loss;
    outcome_.train_images = features_->size();
    features_.reset();
  }

  void ReportStep(const Trainer& trainer, int64_t checkpoint) {
    progress_.step = trainer.step();
    progress_.checkpoint_step = checkpoint;
    progress_.epoch =
        std::min(trainer.step() / trainer.length().steps_per_epoch + 1, trainer.length().epochs);
    if (progress_.images_per_second > 0) {
      const auto left =
          static_cast<double>((progress_.steps - progress_.step) * spec_.recipe.batch_size);
      progress_.eta_seconds = left / progress_.images_per_second +
                              static_cast<double>(PicturesToMeasure()) * seconds_a_picture_;
    }
    Report();
  }

  int64_t PicturesToMeasure() const {
    auto pictures = static_cast<int64_t>(data_.held_out.size());
    if (!CanEvaluate(data_.dataset)) return pictures;
    return pictures + std::count_if(data_.dataset.samples.begin(), data_.dataset.samples.end(),
                                    [](const Sample& s) { return s.split == Split::kTest; });
  }

  void MeasureModel() {
    const FrozenProAd frozen(subject_.model, subject_.preprocessing);
    progress_.total = PicturesToMeasure();
    ReportOrStop();
    Calibrate(frozen);
    if (CanEvaluate(data_.dataset)) {
      outcome_.evaluation = Measure(frozen, subject_.preprocessing, &data_.skipped);
    }
    Compare();
    outcome_.skipped = data_.skipped;
    outcome_.data_fingerprint = data_.fingerprint;
  }

  void Calibrate(const FrozenProAd& frozen) {
    std::map<std::string, std::vector<double>> scores;
    ForEachPicture(data_.held_out, [&](const Sample& sample) {
      const MapFigures figures =
          ScoreSamples(frozen, subject_.preprocessing, {sample}, context_.limits)[0];
      scores[sample.category].push_back(figures.score);
      good_maps_.push_back(figures);
    });
    outcome_.calibration = CalibrateProvisional(scores, spec_.false_reject_budget);
  }

  Evaluation Measure(const FrozenProAd& frozen, const Preprocessing& preprocessing,
                     std::vector<std::string>* skipped) {
    const int64_t before = progress_.done;
    const EvaluatorOptions options{.limits = context_.limits,
                                   .skip_unreadable = spec_.skip_unreadable};
    return Evaluate(
        frozen, preprocessing, data_.dataset, options,
        [&](int64_t done) {
          progress_.done = before + done;
          ReportOrStop();
          return true;
        },
        skipped);
  }

  // Asks the gate, with the active version measured on the same pictures.
  void Compare() {
    if (!spec_.gate) return;
    const Evaluation none;
    const Evaluation& candidate = outcome_.evaluation ? *outcome_.evaluation : none;
    if (!spec_.gate->not_worse_than_active || spec_.active_version.empty()) {
      outcome_.gate = Judge(*spec_.gate, candidate, nullptr);
      return;
    }
    Checkpoint active = LoadCheckpoint(spec_.active_version);
    active.model->to(subject_.model->prototypes.device());
    outcome_.compared_with = active.manifest.name + "@" + active.manifest.version;
    outcome_.compared_evaluation =
        CanEvaluate(data_.dataset)
            ? Measure(FrozenProAd(active.model, active.manifest.preprocessing),
                      active.manifest.preprocessing, nullptr)
            : none;
    outcome_.gate = Judge(*spec_.gate, candidate, &*outcome_.compared_evaluation);
  }

  void Publish() {
    const fs::path versions = context_.store / spec_.model_name;
    std::error_code error;
    fs::create_directories(versions, error);
    if (error) throw FileError(versions, "make the model's directory", error.value());
    RemoveStale(versions);
    Manifest manifest = FindPublished(versions).value_or(Manifest{});
    while (manifest.version.empty()) {
      try {
        Manifest next = NewManifest();
        next.version = NextVersion(versions);
        manifest = SaveCheckpoint(subject_.model, next, ProbePicture(), versions / next.version);
      } catch (const VersionExists&) {
        // Another job of this model took the number first: try the next one.
      }
    }
    outcome_.version = manifest.version;
    outcome_.hash = manifest.hash;
    fs::remove_all(context_.directory / "features", error);
  }

  // What a run before this one has published, when it was killed right after.
  std::optional<Manifest> FindPublished(const fs::path& versions) const {
    for (const std::string& version : ListNames(versions)) {
      try {
        Manifest manifest = ReadManifest(versions / version);
        if (manifest.parent_job == context_.job_id) return manifest;
      } catch (const std::runtime_error&) {
        // Some other version, which is damaged: not this run's to complain about.
      }
    }
    return std::nullopt;
  }

  Manifest NewManifest() const {
    Manifest manifest;
    manifest.name = spec_.model_name;
    manifest.created = NowUtc();
    manifest.code_version = context_.code_version;
    manifest.config = subject_.model->config();
    manifest.preprocessing = subject_.preprocessing;
    manifest.encoder = subject_.encoder;
    manifest.map_range = RangeOf(good_maps_, spec_.preset);
    manifest.categories = outcome_.calibration;
    manifest.metrics = MetricTable(outcome_.evaluation);
    manifest.data_fingerprint = data_.fingerprint;
    manifest.parent_job = context_.job_id;
    manifest.training =
        TrainingRecord{spec_.recipe, outcome_.steps, outcome_.train_images, subject_.init_from};
    return manifest;
  }

  const TrainSpec& spec_;
  const TrainContext& context_;
  TrainObserver& observer_;
  const torch::Device device_;
  const ProcessGroup processes_;
  TrainProgress progress_;
  TrainData data_;
  Subject subject_;
  std::unique_ptr<FeatureCache> features_;
  double seconds_a_picture_ = 0;  // to encode
  std::vector<MapFigures> good_maps_;
  TrainOutcome outcome_;
};

}  // namespace

TrainOutcome Train(const TrainSpec& spec, const TrainContext& context, TrainObserver& observer) {
  return Run(spec, context, observer)();
}

}  // namespace proad::model
