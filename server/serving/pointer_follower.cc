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
    if (!served.ok()) {
      const absl::StatusOr<VersionPointer> pointer = store_.Pointer(name);
      if (pointer.ok()) RecordFailure(name, pointer->active, served, absl::Now());
    }
    changed();
  }
  catalog_.EndStart();
  changed();
}

bool PointerFollower::Follow(absl::Time now) {
  if (!catalog_.started()) return false;
  // An unreadable store changes nothing here; the next explicit change reports it.
  if (!scanner_.Scan().ok()) return false;
  const absl::StatusOr<std::vector<std::string>> names = store_.Names();
  if (!names.ok()) return false;
  bool changed = false;
  for (const std::string& name : *names) {
    const absl::StatusOr<VersionPointer> pointer = store_.Pointer(name);
    if (!IsDue(name, pointer, now)) continue;
    const absl::StatusOr<bool> served = lifecycle_.ServePointed(name, pointer->active);
    if (served.ok()) {
      ClearFailure(name);
      changed |= *served;
    } else if (!loader_.stopped()) {
      RecordFailure(name, pointer->active, served.status(), now);
    }
  }
  const uint64_t active_replaced = catalog_.active_replaced();
  const std::set<std::string> present(names->begin(), names->end());
  MutexLock lock(mutex_);
  std::erase_if(failures_, [&](const auto& entry) { return !present.contains(entry.first); });
  return std::exchange(active_replaced_, active_replaced) != active_replaced || changed;
}

bool PointerFollower::IsDue(const std::string& name, const absl::StatusOr<VersionPointer>& pointer,
                            absl::Time now) {
  if (absl::IsNotFound(pointer.status())) return false;
  if (!pointer.ok()) {
    // A damaged pointer of a known model is logged once.
    if (catalog_.Knows(name) && RecordFailure(name, {}, pointer.status(), now)) {
      Log(LogLevel::kError, "model's pointer cannot be followed",
          {{"model", name}, {"reason", pointer.status()}});
    }
    return false;
  }
  if (!pointer->activated) return false;
  const auto serving = catalog_.Serving(name);
  if (serving && pointer->active.Matches({serving->first, serving->second->manifest().hash})) {
    ClearFailure(name);
    return false;
  }
  MutexLock lock(mutex_);
  const auto failure = failures_.find(name);
  return failure == failures_.end() || failure->second.pointed != pointer->active ||
         now >= failure->second.next_attempt;
}

bool PointerFollower::RecordFailure(const std::string& name, const PointedVersion& pointed,
                                    const absl::Status& problem, absl::Time now) {
  MutexLock lock(mutex_);
  Failure& failure = failures_[name];
  if (failure.pointed != pointed) failure = Failure{.pointed = pointed, .problem = {}};
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
