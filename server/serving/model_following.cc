#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/load_turn.h"
#include "server/serving/model_registry.h"
#include "server/telemetry/log.h"

namespace proad::server {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(15);
constexpr absl::Duration kLongestPause = absl::Minutes(10);

// Until a version that failed so often is tried again: a load takes cores and memory from Detect.
absl::Duration PauseAfter(int attempts) {
  return std::min(kFirstPause * (int64_t{1} << std::min(attempts - 1, 10)), kLongestPause);
}

}  // namespace

bool ModelRegistry::Follow(absl::Time now) {
  {
    MutexLock lock(mutex_);
    if (!loading_ended_) return false;
  }
  RefreshRecalibrations();
  // A store that cannot be read is noticed by whoever changes something; what serves goes on.
  const absl::StatusOr<std::vector<std::string>> names = store_.Names();
  if (!names.ok()) return false;
  bool changed = false;
  for (const std::string& name : *names) {
    const absl::StatusOr<std::string> pointed = store_.Pointed(name);
    if (IsDue(name, pointed, now)) changed |= FollowTo(name, *pointed, now);
  }
  return changed;
}

bool ModelRegistry::IsDue(const std::string& name, const absl::StatusOr<std::string>& pointed,
                          absl::Time now) {
  if (absl::IsNotFound(pointed.status())) return false;
  MutexLock lock(mutex_);
  const auto model = models_.find(name);
  if (!pointed.ok()) {
    // Said once. Of a name that is not known nobody expects anything yet.
    if (model == models_.end() || model->second.failure.problem == pointed.status().message()) {
      return false;
    }
    CountFailure(model->second, "", pointed.status(), now);
    Log(LogLevel::kError, "model's pointer cannot be followed",
        {{"model", name}, {"reason", pointed.status()}});
    return false;
  }
  if (model == models_.end()) return true;
  Failure& failure = model->second.failure;
  const auto entry = model->second.versions.find(*pointed);
  if (entry != model->second.versions.end() && entry->second.state == ModelState::kActive) {
    failure = {};
    return false;
  }
  return failure.version != *pointed || now >= failure.again;
}

bool ModelRegistry::FollowTo(const std::string& name, const std::string& version, absl::Time now) {
  const absl::Time start = absl::Now();
  const LoadTurn turn(*this);
  if (const absl::Status known = BeginChange(turn, name, version); !known.ok()) return false;
  {
    // Whoever had the turn before may have changed the pointer, and what serves.
    const absl::StatusOr<std::string> pointed = store_.Pointed(name);
    MutexLock lock(mutex_);
    if (!pointed.ok() || *pointed != version) return false;
    if (models_[name].versions[version].state == ModelState::kActive) return false;
  }
  const absl::StatusOr<ModelSwap> swap =
      Swap(name, version, start, [] { return absl::OkStatus(); });
  MutexLock lock(mutex_);
  Model& model = models_[name];
  if (swap.ok()) {
    model.failure = {};
  } else {
    CountFailure(model, version, swap.status(), now);
  }
  return swap.ok();
}

void ModelRegistry::CountFailure(Model& model, const std::string& version,
                                 const absl::Status& problem, absl::Time now) {
  Failure& failure = model.failure;
  if (failure.version != version)
    failure = Failure{.version = version, .problem = {}, .attempts = 0, .again = {}};
  failure.problem = std::string(problem.message());
  failure.again = now + PauseAfter(++failure.attempts);
}

}  // namespace proad::server
