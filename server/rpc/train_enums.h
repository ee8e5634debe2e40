// The enums of proad/v1/training.proto and their counterparts in model/ and server/jobs.
//
// Pure: safe to use from any thread.
#pragma once

#include <proad/v1/training.pb.h>

#include <cstddef>
#include <optional>
#include <utility>

#include "model/dataset/dataset.h"
#include "model/spec/config.h"
#include "model/spec/recipe.h"
#include "model/training/train_run.h"
#include "server/jobs/train_job.h"

namespace proad::server {

inline constexpr std::pair<v1::DatasetFormat, model::DatasetFormat> kFormats[] = {
    {v1::DATASET_FORMAT_UNSPECIFIED, model::DatasetFormat::kAuto},
    {v1::DATASET_FORMAT_MVTEC, model::DatasetFormat::kMvtec},
    {v1::DATASET_FORMAT_VISA, model::DatasetFormat::kVisa},
    {v1::DATASET_FORMAT_VISA_1CLS, model::DatasetFormat::kVisa1cls},
    {v1::DATASET_FORMAT_REAL_IAD, model::DatasetFormat::kRealIad},
    {v1::DATASET_FORMAT_FOLDER, model::DatasetFormat::kFolder},
    {v1::DATASET_FORMAT_CSV, model::DatasetFormat::kCsv}};

inline constexpr std::pair<v1::Precision, model::Precision> kPrecisions[] = {
    {v1::PRECISION_FP32, model::Precision::kFp32},
    {v1::PRECISION_TF32, model::Precision::kTf32},
    {v1::PRECISION_BF16, model::Precision::kBf16}};

inline constexpr std::pair<v1::PositionResize, model::PositionResize> kPositionResizes[] = {
    {v1::POSITION_RESIZE_OFFICIAL, model::PositionResize::kOfficial},
    {v1::POSITION_RESIZE_LINEAGE, model::PositionResize::kLineage}};

inline constexpr std::pair<v1::Orientation, model::Orientation> kOrientations[] = {
    {v1::ORIENTATION_IGNORE, model::Orientation::kIgnore},
    {v1::ORIENTATION_APPLY, model::Orientation::kApply}};

inline constexpr std::pair<v1::TrainJobState, JobState> kStates[] = {
    {v1::TRAIN_JOB_STATE_QUEUED, JobState::kQueued},
    {v1::TRAIN_JOB_STATE_RUNNING, JobState::kRunning},
    {v1::TRAIN_JOB_STATE_SUCCEEDED, JobState::kSucceeded},
    {v1::TRAIN_JOB_STATE_FAILED, JobState::kFailed},
    {v1::TRAIN_JOB_STATE_CANCELLED, JobState::kCancelled}};

inline constexpr std::pair<v1::TrainPhase, model::TrainPhase> kPhases[] = {
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

}  // namespace proad::server
