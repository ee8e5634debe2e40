// Labels of a job's specification that control the fake trainer (fake_trainer.cc).
#pragma once

#include <filesystem>
#include <string>

#include "server/jobs/job_files.h"
#include "tests/support/temp_directory.h"

namespace proad::testing {

// Number of steps; default 3. This and all other numbers are decimal texts.
inline constexpr char kFakeSteps[] = "fake.steps";
// At this step the trainer kills itself with SIGKILL, in the first kFakeCrashes attempts; default:
// in all.
inline constexpr char kFakeCrashAt[] = "fake.crash_at";
inline constexpr char kFakeCrashes[] = "fake.crashes";
// After this step the trainer waits for Release or SIGTERM; 0: before the first step.
inline constexpr char kFakeHoldAt[] = "fake.hold_at";
// In PUBLISHING the trainer waits for Release and ignores SIGTERM.
inline constexpr char kFakeHoldPublishing[] = "fake.hold_publishing";
// The trainer ignores SIGTERM.
inline constexpr char kFakeDeaf[] = "fake.deaf";
// The trainer saves no checkpoints, so each attempt begins at step 0.
inline constexpr char kFakeForgetful[] = "fake.forgetful";
// The trainer fails with this code after the last step.
inline constexpr char kFakeError[] = "fake.error";
// The trainer exits with this code after the last step, without result.json or error.json but with
// kFakeLogText in its log.
inline constexpr char kFakeExit[] = "fake.exit";
inline constexpr char kFakeLogText[] = "the fake trainer exits without a result";
// The result of the gate: "passed", or the reason of the refusal.
inline constexpr char kFakeGate[] = "fake.gate";
// Version in result.json; default "1". With kFakePublish the trainer also writes it to the store.
inline constexpr char kFakeVersion[] = "fake.version";
inline constexpr char kFakePublish[] = "fake.publish";

// Lets all trainers of the job continue.
inline void Release(const std::filesystem::path& job) { WriteText(job / "go", ""); }

// Files in the job's directory: the first step of each attempt, one per line; and what the last
// attempt inherited.
inline constexpr char kFakeAttempts[] = "attempts.txt";
inline constexpr char kFakeStart[] = "start.txt";

}  // namespace proad::testing
