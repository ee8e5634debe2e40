// A server that is killed at a random instant of a swap leaves a store from which the next server
// serves.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/serving/model_serving.h"
#include "tests/support/fake_store.h"

namespace proad::server {
namespace {

constexpr int kDeaths = 60;

// Swaps until it is killed; writes one byte to `progress` after each swap.
[[noreturn]] void SwapUntilKilled(const ModelStore& store, int progress) {
  Metrics metrics;
  ModelServing models({}, store, LoadFake, metrics);
  if (!models.scanner.Scan().ok()) _exit(1);
  models.follower.LoadActive([] {});
  for (int i = 0;; ++i) {
    if (!models.lifecycle.Activate("pcb", i % 2 == 0 ? "2" : "1", std::nullopt).ok()) _exit(1);
    if (write(progress, "s", 1) != 1) _exit(1);
  }
}

TEST(SwapCrash, TheNextServerServesThePointedVersion) {
  const testing::TempDirectory root;
  for (const char* version : {"1", "2"}) WriteFakeVersion(root.path(), "pcb", version);
  const ModelStore store(root.path());
  std::minstd_rand random(1);
  for (int death = 0; death < kDeaths; ++death) {
    int progress[2];
    ASSERT_EQ(pipe(progress), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) SwapUntilKilled(store, progress[1]);
    close(progress[1]);
    // Wait for a few swaps, then kill at a random instant of the next one.
    char ignored = 0;
    for (unsigned i = 0; i < 1 + random() % 4; ++i) ASSERT_EQ(read(progress[0], &ignored, 1), 1);
    const absl::Time instant = absl::Now() + absl::Microseconds(random() % 3000);
    while (absl::Now() < instant) {
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child failed before it was killed";
    close(progress[0]);

    const auto pointed = store.Pointer("pcb");
    ASSERT_TRUE(pointed.ok()) << pointed.status();
    Metrics metrics;
    ModelServing next({}, store, LoadFake, metrics);
    ASSERT_TRUE(next.scanner.Scan().ok());
    next.follower.LoadActive([] {});
    const auto handle = next.catalog.Acquire("pcb");
    ASSERT_TRUE(handle.ok()) << handle.status();
    EXPECT_EQ((*handle)->manifest().version, pointed->active.version);
    const auto replaced = store.Replaced("pcb");
    ASSERT_TRUE(replaced.ok()) << replaced.status();
    EXPECT_EQ(replaced->version.version, pointed->active.version == "1" ? "2" : "1")
        << "the version to roll back to";
  }
}

}  // namespace
}  // namespace proad::server
