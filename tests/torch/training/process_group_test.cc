// Processes that train together, here as threads with a group each; tests/e2e/processes_test.py has
// real ones.
#include "model/training/process_group.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "model/training/loss.h"

namespace proad::model {
namespace {

constexpr int kSize = 3;

// Runs `each` as every rank of a group at the same time.
void Together(const std::function<void(ProcessGroup&, Rendezvous&)>& each,
              double patience_seconds = 60) {
  Membership membership{.size = kSize, .patience_seconds = patience_seconds};
  Rendezvous first(membership);
  membership.port = first.membership().port;
  std::vector<std::thread> threads;
  for (int rank = 1; rank < kSize; ++rank) {
    threads.emplace_back([&, rank] {
      Membership own = membership;
      own.rank = rank;
      Rendezvous rendezvous(own);
      ProcessGroup group(&rendezvous, at::kCPU);
      each(group, rendezvous);
    });
  }
  {
    ProcessGroup group(&first, at::kCPU);
    each(group, first);
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ProcessGroup, GroupOfOneReturnsItsInput) {
  const ProcessGroup alone;
  const torch::Tensor tensor = at::randn({5});
  EXPECT_TRUE(alone.Mean(tensor).is_same(tensor));
  const torch::Tensor before = tensor.clone();
  alone.Average({tensor});
  alone.Broadcast({tensor});
  EXPECT_TRUE(at::equal(tensor, before));
  EXPECT_TRUE(alone.EqualsFirst("anything"));
  EXPECT_FALSE(alone.Any(false));
  EXPECT_TRUE(alone.Any(true));
  EXPECT_EQ(alone.size(), 1);
}

TEST(ProcessGroup, AveragesManyTensorsOnAllProcesses) {
  Together([](ProcessGroup& group, Rendezvous&) {
    const double mine = group.rank();  // 0, 1, 2: mean 1
    // Two that fit into a bucket, one that does not, one of another type.
    const std::vector<torch::Tensor> tensors = {at::full({2, 3}, mine), at::full({4}, 10 * mine),
                                                at::full({9'000'000}, -mine),
                                                at::full({3}, mine, at::kDouble)};
    group.Average(tensors);
    EXPECT_TRUE(at::equal(tensors[0], at::full({2, 3}, 1.0)));
    EXPECT_TRUE(at::equal(tensors[1], at::full({4}, 10.0)));
    EXPECT_TRUE(at::equal(tensors[2], at::full({9'000'000}, -1.0)));
    EXPECT_TRUE(at::equal(tensors[3], at::full({3}, 1.0, at::kDouble)));
    EXPECT_EQ(group.Mean(at::full({}, 2 * mine)).item<double>(), 2);
  });
}

TEST(ProcessGroup, BroadcastsTheTensorsOfRankZero) {
  Together([](ProcessGroup& group, Rendezvous&) {
    torch::Tensor weights = at::full({2, 2}, group.rank() + 5.0).set_requires_grad(true);
    const torch::Tensor steps = at::full({1}, group.rank() + 7, at::kLong);
    group.Broadcast({weights, steps});
    EXPECT_TRUE(at::equal(weights, at::full({2, 2}, 5.0)));
    EXPECT_EQ(steps.item<int64_t>(), 7);
    EXPECT_TRUE(weights.requires_grad());
  });
}

TEST(ProcessGroup, ComparesTextsAndCombinesStops) {
  Together([](ProcessGroup& group, Rendezvous&) {
    EXPECT_TRUE(group.EqualsFirst("same"));
    EXPECT_EQ(group.EqualsFirst(group.rank() == 2 ? "other" : "same"), group.rank() != 2);
    EXPECT_TRUE(group.Any(group.rank() == 1));
    EXPECT_FALSE(group.Any(false));
  });
}

TEST(ProcessGroup, WaitsForTheEndOfRankZero) {
  Together([](ProcessGroup& group, Rendezvous& rendezvous) {
    if (group.rank() == 0) {
      rendezvous.AnnounceEnd();
      group.Wait();  // the others are through before the rendezvous is gone
    } else {
      rendezvous.AwaitEnd();
      group.Wait();
    }
  });
}

TEST(ProcessGroup, ReportsAProcessThatEnds) {
  Together([](ProcessGroup& group, Rendezvous&) {
    if (group.rank() == 2) return;
    EXPECT_THROW(group.Average({at::ones({5})}), PeerLost);
  });
}

// Gloo may write to a peer that is gone before it notices: a matter of microseconds, so the test
// does not wait for that to happen but writes to a pipe without a reader.
TEST(ProcessGroup, WriteToAnEndedProcessIsAnErrorWithoutSignal) {
  std::signal(SIGPIPE, SIG_DFL);
  Together([](ProcessGroup&, Rendezvous&) {});
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  close(ends[1]);
}

TEST(ProcessGroup, ReportsAProcessThatNeverConnects) {
  Rendezvous first({.size = 2, .patience_seconds = 1});
  EXPECT_THROW(ProcessGroup(&first, at::kCPU), PeerLost);
}

TEST(ProcessGroup, ReportsAMissingRankZero) {
  int port = 0;
  {
    const Rendezvous gone({.size = 2});
    port = gone.membership().port;
  }
  EXPECT_THROW(Rendezvous({.rank = 1, .size = 2, .port = port, .patience_seconds = 1}), PeerLost);
}

// Groups of E_g and D_g of a batch; the images differ, so their means differ too.
Reconstruction Batch() {
  at::manual_seed(7);
  Reconstruction batch;
  for (int g = 0; g < 2; ++g) {
    const torch::Tensor unlike = at::arange(2 * kSize, at::kFloat).reshape({-1, 1, 1, 1}) / 3;
    batch.encoder_groups.push_back(at::randn({2 * kSize, 3, 4, 8}));
    batch.decoder_groups.push_back(
        (batch.encoder_groups[g] + unlike * at::randn({2 * kSize, 3, 4, 8})).detach());
  }
  return batch;
}

Reconstruction Rows(const Reconstruction& batch, int64_t first, int64_t count) {
  Reconstruction rows;
  for (const torch::Tensor& group : batch.encoder_groups) {
    rows.encoder_groups.push_back(group.narrow(0, first, count));
  }
  for (const torch::Tensor& group : batch.decoder_groups) {
    rows.decoder_groups.push_back(group.narrow(0, first, count).detach().set_requires_grad(true));
  }
  return rows;
}

TEST(ProcessGroup, SharesGiveLossAndGradientsOfTheWholeBatch) {
  const Reconstruction batch = Batch();
  const Reconstruction whole = Rows(batch, 0, 2 * kSize);
  const torch::Tensor loss = ReconstructionLoss(whole);
  loss.backward();
  const Reconstruction alone = Rows(batch, 0, 2);  // the factor's mean over a share differs
  ReconstructionLoss(alone).backward();
  const torch::Tensor expected = whole.decoder_groups[0].grad().narrow(0, 0, 2) * kSize;
  EXPECT_FALSE(at::allclose(alone.decoder_groups[0].grad(), expected, 1e-2));

  Together([&](ProcessGroup& group, Rendezvous&) {
    const Reconstruction share = Rows(batch, 2 * group.rank(), 2);
    const torch::Tensor mine = ReconstructionLoss(share, kDefaultTau, group);
    mine.backward();
    EXPECT_NEAR(group.Mean(mine).item<double>(), loss.item<double>(), 1e-6);
    for (size_t g = 0; g < 2; ++g) {
      // A mean over kSize shares: each image's gradient is 1 / kSize of that in its share.
      const torch::Tensor part = share.decoder_groups[g].grad() / kSize;
      const torch::Tensor of_whole = whole.decoder_groups[g].grad().narrow(0, 2 * group.rank(), 2);
      EXPECT_TRUE(at::allclose(part, of_whole, 1e-5, 1e-8)) << group.rank();
    }
  });
}

}  // namespace
}  // namespace proad::model
