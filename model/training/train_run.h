// A training run: from a dataset and a specification to a published version with metrics.
//
// The phases are dataset, features, training, evaluation with thresholds and gate, and publishing;
// the observer gets the progress of each. A run has its own directory and can be killed at any
// instant. The next run with the same specification and directory continues from the last
// checkpoint and publishes the same bytes, once.
//
// Every file is decoded before the first step. A run that has made all of its steps keeps its
// weights if a test image becomes unreadable: the next run evaluates them without training again,
// and accepts other test images, but no other training images.
//
// Several processes can share the training of one run, with the same directory: each encodes its
// share of the images and trains on its share of every batch. Rank 0 alone writes checkpoints,
// evaluates and publishes.
//
// Thread-safety: one run per directory at a time, which the caller ensures; a run belongs to one
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/picture/image_limits.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"
#include "model/spec/train_spec.h"

namespace proad::model {

class Rendezvous;

enum class TrainPhase { kPreparing, kEncoding, kTraining, kEvaluating, kPublishing };

// "preparing", "encoding", "training", "evaluating", "publishing". Inline, so that the server does
// not link LibTorch.
inline const char* NameOf(TrainPhase phase) {
  switch (phase) {
    case TrainPhase::kPreparing:
      return "preparing";
    case TrainPhase::kEncoding:
      return "encoding";
    case TrainPhase::kTraining:
      return "training";
    case TrainPhase::kEvaluating:
      return "evaluating";
    case TrainPhase::kPublishing:
      return "publishing";
  }
  return "unknown";
}

// The progress of a run. Unknown values are 0 or "".
struct TrainProgress {
  TrainPhase phase = TrainPhase::kPreparing;
  int64_t epoch = 0;  // current epoch, from 1
  int64_t epochs = 0;
  int64_t step = 0;  // number of steps done
  int64_t steps = 0;
  double loss = 0;  // of the last step
  double learning_rate = 0;
  double images_per_second = 0;       // over the last five seconds
  std::optional<double> eta_seconds;  // to the end of the job
  int64_t checkpoint_step = 0;        // of the last checkpoint
  int64_t train_images = 0;
  std::string device;
  int64_t done = 0;   // images of the phase encoded or evaluated so far
  int64_t total = 0;  // images of the phase
};

// Receives the progress of a run, on the run's thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  // Called after every change, at least once per step.
  virtual void OnProgress(const TrainProgress& progress) = 0;
  // Called for each warning about the dataset, before the first step.
  virtual void OnWarning(const std::string& /*text*/) {}
  // Called between steps and images. If it returns true, the run throws Interrupted.
  virtual bool StopRequested() = 0;
};

// The run has stopped on request; its state is saved.
class Interrupted : public std::runtime_error {
 public:
  Interrupted()
      : std::runtime_error("stopped on request; the run can continue from its checkpoint") {}
};

// The directories and limits of a run.
struct TrainContext {
  std::filesystem::path directory;  // of this run; created if absent
  std::filesystem::path store;      // receives the version; created if absent
  std::string job_id;               // the version's parent_job
  std::string code_version;
  ImageLimits limits;
  int64_t feature_memory_bytes = int64_t{2} << 30;  // of cached features; the others are on disk
  // The connection to the other processes of this training; null: one process.
  Rendezvous* processes = nullptr;
  // Minimum interval of checkpoints; at least 20 times the duration of writing one.
  double checkpoint_seconds = 10;
};

// The results of a run.
struct TrainOutcome {
  std::string version;  // of TrainSpec::model_name
  std::string hash;     // of its manifest
  int64_t steps = 0;
  double final_loss = 0;
  int64_t train_images = 0;
  std::optional<Evaluation> evaluation;  // absent if the dataset has no test split to evaluate
  std::map<std::string, Calibration> calibration;
  std::optional<GateVerdict> gate;  // absent without a gate in the specification
  std::string compared_with;        // version that the gate compared with, or ""
  std::optional<Evaluation> compared_evaluation;
  std::vector<std::string> skipped;  // unreadable images that were left out
  std::string data_fingerprint;
  // About masks that probably do not mean what they mark; absent if there are none.
  std::optional<std::vector<std::string>> warnings;

  bool operator==(const TrainOutcome&) const = default;
};

// Runs the job, or continues it from its last checkpoint. If its version is in the store already,
// returns the same outcome again. Processes other than rank 0 return after the training, without a
// version. Throws Interrupted, NonFiniteLoss (non_finite_loss.h), PeerLost (rendezvous.h),
// InvalidInput, CorruptFile, FileError or c10::Error; then the store has no version of this job,
// and the last checkpoint remains.
TrainOutcome Train(const TrainSpec& spec, const TrainContext& context, TrainObserver& observer);

}  // namespace proad::model
