#include "server/jobs/running_job.h"

#include <algorithm>

#include "server/jobs/job_files.h"

namespace proad::server {
namespace {

double Ratio(int64_t done, int64_t total) {
  return total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
}

}  // namespace

RunningJob::RunningJob(const std::filesystem::path& directory, int slot, int64_t batch_size,
                       Metrics& metrics)
    : slot_(slot),
      batch_size_(batch_size),
      metrics_(metrics),
      trainer_(directory),
      reader_(directory / kProgressFile) {}

RunningJob::~RunningJob() {
  if (slot_ >= 0) metrics_.ClearTrainSlot(slot_);
}

bool RunningJob::IsAlive() {
  const bool alive = trainer_.IsAlive();
  was_alive_ |= alive;
  return alive;
}

absl::Status RunningJob::Start(const TrainerOptions& options) {
  counted_.reset();
  was_alive_ = true;
  return trainer_.Start(options);
}

std::optional<ProgressRecord> RunningJob::Poll() {
  auto record = reader_.Poll();
  if (record) Count(*record);
  return record;
}

void RunningJob::Count(const ProgressRecord& record) {
  const model::TrainProgress& train = record.train;
  if (slot_ >= 0) {
    const bool training = train.phase == model::TrainPhase::kTraining;
    metrics_.SetTrainSlot(
        slot_, model::NameOf(train.phase), train.loss, train.epoch,
        training ? Ratio(train.step, train.steps) : Ratio(train.done, train.total));
  }
  if (counted_ && counted_->train.phase == model::TrainPhase::kTraining &&
      train.step > counted_->train.step && record.time > counted_->time) {
    // There are fewer reports than steps; each step since the last report counts with the average.
    constexpr int64_t kMaxSteps = 10'000;
    const int64_t steps = train.step - counted_->train.step;
    const double seconds =
        absl::ToDoubleSeconds(record.time - counted_->time) / static_cast<double>(steps);
    for (int64_t i = 0; i < std::min(steps, kMaxSteps); ++i) {
      metrics_.train_step_seconds.Observe(seconds);
    }
    metrics_.train_images.Increment(static_cast<double>(steps * batch_size_));
  }
  counted_ = record;
}

}  // namespace proad::server
