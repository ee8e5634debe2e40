#include "model/training/train_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <system_error>
#include <utility>

#include "model/dataset/sample_checks.h"
#include "model/files/error.h"
#include "model/network/checkpoint.h"
#include "model/network/frozen_pro_ad.h"
#include "model/network/import_version.h"
#include "model/network/pro_ad.h"
#include "model/network/probe.h"
#include "model/spec/calibration.h"
#include "model/spec/preset.h"
#include "model/spec/shuffle.h"
#include "model/spec/train_data.h"
#include "model/spec/version_directory.h"
#include "model/training/distance_levels.h"
#include "model/training/evaluator.h"
#include "model/training/feature_cache.h"
#include "model/training/initial_weights.h"
#include "model/training/process_group.h"
#include "model/training/stopwatch.h"
#include "model/training/train_subject.h"
#include "model/training/trainer.h"
#include "model/training/training_state.h"

namespace proad::model {
namespace {

namespace fs = std::filesystem;

// A rate over the last kMemory seconds.
class Speed {
 public:
  void Add(double amount, double seconds) {
    constexpr double kMemory = 5;
    const double keep = std::max(0.0, 1 - seconds / kMemory);
    amount_ = amount_ * keep + amount;
    seconds_ = seconds_ * keep + seconds;
  }
  double PerSecond() const { return seconds_ > 0 ? amount_ / seconds_ : 0; }

 private:
  double amount_ = 0;
  double seconds_ = 0;
};

// The colour range of the maps: from the median pixel of a good map to twice the median of the good
// maps' maxima.
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
    subject_ = NewTrainSubject(spec_);
    subject_.model->to(device_);
    progress_.device = subject_.model->prototypes.device().str();

    // The levels of the distances come from the features of the training images, which are not kept.
    if (!MeasuresLevels()) trained_ = FindTrained();
    BeginChecks();
    if (trained_) {
      FinishChecks();
      RestoreModel();
    } else {
      Enter(TrainPhase::kEncoding);
      EncodeImages();
      FinishChecks();
      Enter(TrainPhase::kTraining);
      TrainModel();
    }
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
    if (progress_.phase == TrainPhase::kEvaluating && seconds_per_image_ > 0) {
      progress_.eta_seconds =
          static_cast<double>(progress_.total - progress_.done) * seconds_per_image_;
    }
    observer_.OnProgress(progress_);
  }

  // The last checkpoint, if it has all steps of the run. Processes other than rank 0 get an empty
  // one.
  std::optional<LastCheckpoint> FindTrained() const {
    std::optional<LastCheckpoint> last;
    if (processes_.rank() == 0) last = FindLastCheckpoint(context_.directory);
    const bool all_steps =
        last && last->position.steps > 0 && last->position.step == last->position.steps;
    if (!processes_.Any(all_steps)) return std::nullopt;
    return last.value_or(LastCheckpoint{});
  }

  // Starts to decode the files that this run would not decode before its first step.
  void BeginChecks() {
    if (processes_.rank() != 0) return;
    const int threads = std::max(1, at::get_num_threads() / 2);
    checks_ = std::make_unique<SampleChecks>(
        SamplesToDecode(data_, /*all=*/trained_.has_value()), data_.dataset.root,
        SampleChecks::Options{.limits = context_.limits, .decode = true, .threads = threads});
  }

  void FinishChecks() {
    if (!checks_) return;
    constexpr std::chrono::milliseconds kInterval(200);
    const int64_t before = progress_.done;
    progress_.total = before + checks_->total();
    do {
      progress_.done = before + checks_->done();
      ReportOrStop();
    } while (!checks_->WaitFor(kInterval));
    ApplyChecks(spec_, checks_->samples(), checks_->Await(), data_);
    checks_.reset();
    for (const std::string& warning : data_.warnings) observer_.OnWarning(warning);
    if (!data_.warnings.empty()) outcome_.warnings = data_.warnings;
  }

  // Calls `each` for each image. Unreadable images are left out if the specification allows it.
  template <typename Each>
  void ForEachImage(const std::vector<Sample>& samples, const Each& each) {
    for (const Sample& sample : samples) {
      if (!TryImage(sample, each)) data_.skipped.push_back(sample.name);
      ++progress_.done;
      ReportOrStop();
    }
  }

  template <typename Each>
  bool TryImage(const Sample& sample, const Each& each) {
    try {
      each(sample);
      return true;
    } catch (const UnreadableImage&) {
      if (!spec_.skip_unreadable) throw;
      return false;
    }
  }

  void EncodeImages() {
    features_ = std::make_unique<FeatureCache>(
        subject_.model, subject_.preprocessing, subject_.encoder.sha256,
        FeatureCache::Options{.keep = true,
                              .memory_bytes = context_.feature_memory_bytes,
                              .directory = context_.directory / "features",
                              .limits = context_.limits});
    const Stopwatch watch;
    if (processes_.size() > 1) EncodeShare();
    progress_.total = static_cast<int64_t>(data_.train.size());
    ForEachImage(data_.train, [this](const Sample& sample) { features_->Add(sample); });
    seconds_per_image_ =
        watch.Seconds() / static_cast<double>(std::max<size_t>(1, data_.train.size()));
    progress_.train_images = features_->size();
  }

  // Each process writes the features of its share to the common disk, where all then find them.
  void EncodeShare() {
    const auto size = static_cast<size_t>(processes_.size());
    progress_.total = static_cast<int64_t>(data_.train.size());
    for (auto i = static_cast<size_t>(processes_.rank()); i < data_.train.size(); i += size) {
      TryImage(data_.train[i], [this](const Sample& sample) { features_->Store(sample); });
      progress_.done = std::min(progress_.done + processes_.size(), progress_.total);
      ReportOrStop();
    }
    processes_.Wait();
    progress_.done = 0;
  }

  // Older checkpoints have the fingerprint of the whole dataset.
  void RefuseOtherImages(const TrainingPosition& position) const {
    if (position.data_fingerprint == data_.train_fingerprint ||
        position.data_fingerprint == data_.fingerprint) {
      return;
    }
    throw DatasetChanged("dataset",
                         "the training images are not those that the job started with; restore "
                         "them, or start a new job");
  }

  // Puts the weights of a run that has made all of its steps into the network.
  void RestoreModel() {
    if (processes_.rank() != 0) return;
    const TrainingPosition& position = trained_->position;
    RefuseOtherImages(position);
    ReadWeights(trained_->file, subject_.model->TrainableParameters());
    progress_.step = progress_.steps = progress_.checkpoint_step = position.step;
    progress_.epoch = progress_.epochs = LengthOf(spec_.recipe, position.train_images).epochs;
    progress_.loss = position.loss;
    progress_.train_images = position.train_images;
    FinishTraining(position);
  }

  bool MeasuresLevels() const {
    return subject_.model->config().distance.combination == DistanceCombination::kLargest;
  }

  void FinishTraining(const TrainingPosition& position) {
    subject_.model->eval();
    outcome_.steps = position.step;
    outcome_.final_loss = position.loss;
    outcome_.train_images = position.train_images;
  }

  // Restores the trainers of all processes from the last checkpoint.
  TrainingPosition Begin(Trainer& trainer) {
    TrainingPosition position{.data_fingerprint = data_.train_fingerprint};
    if (processes_.rank() == 0) {
      if (const auto restored = RestoreTraining(context_.directory, trainer)) position = *restored;
      RefuseOtherImages(position);
    }
    if (!processes_.EqualsFirst(data_.fingerprint + " " + std::to_string(features_->size()))) {
      throw InvalidInput("dataset", "DATASET_DIFFERS",
                         "process " + std::to_string(processes_.rank()) +
                             " of this training finds other images than process 0; all must have "
                             "the same dataset");
    }
    trainer.CopyFromFirst();
    position.step = trainer.step();
    position.steps = trainer.length().steps;
    position.train_images = features_->size();
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
    FinishTraining(position);
    if (MeasuresLevels()) {
      subject_.model->set_distance_levels(MeasureDistanceLevels(subject_.model, *features_));
    }
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
                              static_cast<double>(ImagesToMeasure()) * seconds_per_image_;
    }
    Report();
  }

  int64_t ImagesToMeasure() const {
    auto images = static_cast<int64_t>(data_.held_out.size());
    if (!CanEvaluate(data_.dataset)) return images;
    return images + std::count_if(data_.dataset.samples.begin(), data_.dataset.samples.end(),
                                  [](const Sample& s) { return s.split == Split::kTest; });
  }

  void MeasureModel() {
    const FrozenProAd frozen(subject_.model, subject_.preprocessing);
    progress_.total = ImagesToMeasure();
    ReportOrStop();
    Calibrate(frozen);
    if (CanEvaluate(data_.dataset)) {
      outcome_.evaluation = Measure(frozen, subject_.preprocessing, &data_.skipped);
    }
    Compare();
    std::sort(data_.skipped.begin(), data_.skipped.end());
    outcome_.skipped = data_.skipped;
    outcome_.data_fingerprint = data_.fingerprint;
  }

  void Calibrate(const FrozenProAd& frozen) {
    std::map<std::string, std::vector<double>> scores;
    ForEachImage(data_.held_out, [&](const Sample& sample) {
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

  // Judges the gate, with the active version evaluated on the same images.
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
    if (error) throw FileError(versions, "create the model's directory", error.value());
    RemoveStale(versions);
    Manifest manifest = FindPublished(versions).value_or(Manifest{});
    while (manifest.version.empty()) {
      try {
        Manifest next = NewManifest();
        next.version = NextVersion(versions);
        manifest = SaveCheckpoint(subject_.model, next, ProbeImage(), versions / next.version);
      } catch (const VersionExists&) {
        // Another job of this model took the number first: try the next one.
      }
    }
    outcome_.version = manifest.version;
    outcome_.hash = manifest.hash;
    fs::remove_all(context_.directory / "features", error);
  }

  // The version that an earlier run of this job published before it was killed.
  std::optional<Manifest> FindPublished(const fs::path& versions) const {
    for (const std::string& version : ListNames(versions)) {
      try {
        Manifest manifest = ReadManifest(versions / version);
        if (manifest.parent_job == context_.job_id) return manifest;
      } catch (const std::runtime_error&) {
        // A damaged version of another job.
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
  TrainSubject subject_;
  std::optional<LastCheckpoint> trained_;  // of a run that only evaluates
  std::unique_ptr<FeatureCache> features_;
  double seconds_per_image_ = 0;  // of encoding
  std::vector<MapFigures> good_maps_;
  TrainOutcome outcome_;
  std::unique_ptr<SampleChecks> checks_;  // while files are decoded beside the encoding
};

}  // namespace

TrainOutcome Train(const TrainSpec& spec, const TrainContext& context, TrainObserver& observer) {
  return Run(spec, context, observer)();
}

}  // namespace proad::model
