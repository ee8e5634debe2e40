// One whole job: pictures in, a version with honest figures out.
//
// Dataset, features, training, evaluation, thresholds, gate, version: in this order, each told to
// the observer. A run works in a directory of its own and can be killed at any instant: run again
// with the same specification and directory it goes on from its last checkpoint and publishes the
// same bytes, once.
//
// Several processes can share the training of one run, in the same directory: each encodes its
// share of the pictures and trains on its share of every batch; rank 0 alone writes checkpoints,
// measures and publishes.
//
// One run a directory at a time; the caller sees to it. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/picture/image.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"
#include "model/spec/train_spec.h"

namespace proad::model {

class Rendezvous;

enum class TrainPhase { kPreparing, kEncoding, kTraining, kEvaluating, kPublishing };

// "preparing", "encoding", "training", "evaluating", "publishing". Here, so that a server needs no
// LibTorch for it.
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

// How far a run is. 0 and "" where nothing is known yet.
struct TrainProgress {
  TrainPhase phase = TrainPhase::kPreparing;
  int64_t epoch = 0;  // it is in, from 1
  int64_t epochs = 0;
  int64_t step = 0;  // done
  int64_t steps = 0;
  double loss = 0;  // of the last step
  double learning_rate = 0;
  double images_per_second = 0;       // over the last seconds
  std::optional<double> eta_seconds;  // to the end of the job
  int64_t checkpoint_step = 0;        // from which it would go on
  int64_t train_images = 0;
  std::string device;
  int64_t done = 0;   // pictures of the phase that are encoded or evaluated, ...
  int64_t total = 0;  // ... of so many
};

// Told from the run's thread.
class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  // After every change; as often as a step takes.
  virtual void OnProgress(const TrainProgress& progress) = 0;
  // Asked between steps and pictures: true ends the run soon, with Interrupted.
  virtual bool StopRequested() = 0;
};

// A run was asked to stop; what it had is saved.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("stopped on request; the run can go on from its checkpoint") {}
};

// Where a run works and what it may use.
struct TrainContext {
  std::filesystem::path directory;  // its own; made when absent
  std::filesystem::path store;      // gets the version; made when absent
  std::string job_id;               // the version's parent_job
  std::string code_version;
  ImageLimits limits;
  int64_t feature_memory_bytes = int64_t{2} << 30;  // of cached features; more go to the disk
  // Of several processes that train together, where this one met the others; null: it is alone.
  Rendezvous* processes = nullptr;
  // Between checkpoints, at least; longer where writing one takes more than a twentieth of it.
  double checkpoint_seconds = 10;
};

// What a run leaves beside the version.
struct TrainOutcome {
  std::string version;  // of TrainSpec::model_name
  std::string hash;     // of its manifest
  int64_t steps = 0;
  double final_loss = 0;
  int64_t train_images = 0;
  std::optional<Evaluation> evaluation;  // absent without a test split that can be measured
  std::map<std::string, Calibration> calibration;
  std::optional<GateVerdict> gate;  // absent unless asked for
  std::string compared_with;        // version that the gate compared with; or ""
  std::optional<Evaluation> compared_evaluation;
  std::vector<std::string> skipped;  // pictures left out as unreadable
  std::string data_fingerprint;

  bool operator==(const TrainOutcome&) const = default;
};

// Runs, or goes on. A run whose version is in the store already returns the same outcome again.
// Of several processes, the others than rank 0 return when the training is over, without a version.
// Throws Interrupted, NonFiniteLoss (non_finite_loss.h), PeerLost (rendezvous.h), and InvalidInput,
// CorruptFile, FileError or c10::Error for what was wrong. On any of these no version is in the
// store, and the last checkpoint stays.
TrainOutcome Train(const TrainSpec& spec, const TrainContext& context, TrainObserver& observer);

}  // namespace proad::model
