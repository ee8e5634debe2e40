#include "server/serving/pointer_follower.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/telemetry/log.h"

namespace proad::server {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(15);
constexpr absl::Duration kLongestPause = absl::Minutes(10);

// The pause after so many failed attempts: a load takes cores and memory from Detect.
absl::Duration PauseAfter(int attempts) {
  return std::min(kFirstPause * (int64_t{1} << std::min(attempts - 1, 10)), kLongestPause);
}

}  // namespace

PointerFollower::PointerFollower(const ModelStore& store, StoreScanner& scanner,
                                 ModelCatalog& catalog, const VersionLoader& loader,
                                 ModelLifecycle& lifecycle)
    : store_(store), scanner_(scanner), catalog_(catalog), loader_(loader), lifecycle_(lifecycle) {}

void PointerFollower::LoadActive(absl::FunctionRef<void()> changed) {
  const std::vector<ModelCatalog::StartingModel> models = catalog_.BeginStart();
  for (const auto& [name, active] : models) {
    if (active.ok()) continue;
    // A model that was never activated is normal; a pointer to a missing version is not.
    Log(absl::IsNotFound(active.status()) ? LogLevel::kInfo : LogLevel::kError,
        "model has no active version", {{"model", name}, {"reason", active.status()}});
  }
  for (const auto& [name, active] : models) {
    if (!active.ok()) continue;
    if (loader_.stopped()) return;
    const absl::Status served = lifecycle_.ServeAtStart(name, *active);
    if (!served.ok()) RecordFailure(name, *active, served, absl::Now());
    changed();
  }
  catalog_.EndStart();
  changed();
}

bool PointerFollower::Follow(absl::Time now) {
  if (!catalog_.started()) return false;
  scanner_.ScanThresholds();
  // An unreadable store changes nothing here; the next explicit change reports it.
  const absl::StatusOr<std::vector<std::string>> names = store_.Names();
  if (!names.ok()) return false;
  bool changed = false;
  for (const std::string& name : *names) {
    const absl::StatusOr<std::string> pointed = store_.Pointed(name);
    if (!IsDue(name, pointed, now)) continue;
    const absl::StatusOr<bool> served = lifecycle_.ServePointed(name, *pointed);
    if (served.ok()) {
      ClearFailure(name);
      changed |= *served;
    } else if (!loader_.stopped()) {
      RecordFailure(name, *pointed, served.status(), now);
    }
  }
  MutexLock lock(mutex_);
  const std::set<std::string> present(names->begin(), names->end());
  std::erase_if(failures_, [&](const auto& entry) { return !present.contains(entry.first); });
  return changed;
}

bool PointerFollower::IsDue(const std::string& name, const absl::StatusOr<std::string>& pointed,
                            absl::Time now) {
  if (absl::IsNotFound(pointed.status())) return false;
  const bool known = catalog_.Knows(name);
  if (!pointed.ok()) {
    // A damaged pointer of a known model is logged once.
    if (known && RecordFailure(name, "", pointed.status(), now)) {
      Log(LogLevel::kError, "model's pointer cannot be followed",
          {{"model", name}, {"reason", pointed.status()}});
    }
    return false;
  }
  if (!known) return true;
  const auto serving = catalog_.Serving(name);
  if (serving && serving->first == *pointed) {
    ClearFailure(name);
    return false;
  }
  MutexLock lock(mutex_);
  const auto failure = failures_.find(name);
  return failure == failures_.end() || failure->second.version != *pointed ||
         now >= failure->second.next_attempt;
}

bool PointerFollower::RecordFailure(const std::string& name, const std::string& version,
                                    const absl::Status& problem, absl::Time now) {
  MutexLock lock(mutex_);
  Failure& failure = failures_[name];
  if (failure.version != version) failure = Failure{.version = version, .problem = {}};
  const bool is_new = failure.problem != problem.message();
  failure.problem = std::string(problem.message());
  failure.next_attempt = now + PauseAfter(++failure.attempts);
  return is_new;
}

void PointerFollower::ClearFailure(const std::string& name) {
  MutexLock lock(mutex_);
  failures_.erase(name);
}

}  // namespace proad::server
