// How the jobs of a FakeTrainer (fake_trainer.cc) are told what to do: labels of the specification.
#pragma once

#include <filesystem>
#include <string>

#include "server/jobs/job_files.h"
#include "tests/support/temp_directory.h"

namespace proad::testing {

// It does so many steps; default 3. A number in a text, as all numbers here.
inline constexpr char kFakeSteps[] = "fake.steps";
// At this step it kills itself with SIGKILL, in the first kFakeCrashes attempts; default: in all.
inline constexpr char kFakeCrashAt[] = "fake.crash_at";
inline constexpr char kFakeCrashes[] = "fake.crashes";
// At this step it waits until Release or SIGTERM; 0: before the first.
inline constexpr char kFakeHoldAt[] = "fake.hold_at";
// In PUBLISHING it waits until Release, whatever signal comes.
inline constexpr char kFakeHoldPublishing[] = "fake.hold_publishing";
// SIGTERM does nothing.
inline constexpr char kFakeDeaf[] = "fake.deaf";
// It saves no checkpoints, and so begins anew each time.
inline constexpr char kFakeForgetful[] = "fake.forgetful";
// At the end it fails with this code.
inline constexpr char kFakeError[] = "fake.error";
// It ends with this exit code without a word in a file, but with kFakeLastWords in its log.
inline constexpr char kFakeExit[] = "fake.exit";
inline constexpr char kFakeLastWords[] = "the fake trainer has had enough";
// The gate's verdict: "passed", or why not.
inline constexpr char kFakeGate[] = "fake.gate";
// Version that it says it published; default "1". With kFakePublish it does publish it.
inline constexpr char kFakeVersion[] = "fake.version";
inline constexpr char kFakePublish[] = "fake.publish";

// Ends the waiting of every trainer of the job.
inline void Release(const std::filesystem::path& job) { WriteText(job / "go", ""); }

// What a trainer left in JOB: a line an attempt with the step that it began after, and how it
// found itself at its start.
inline constexpr char kFakeAttempts[] = "attempts.txt";
inline constexpr char kFakeStart[] = "start.txt";

}  // namespace proad::testing
