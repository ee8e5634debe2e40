#include "server/serving/core_share.h"

#include <gtest/gtest.h>

#include <optional>

namespace proad::server {
namespace {

TEST(CoreShare, ABatchThatRunsAloneHasAllCores) {
  CoreShare share(8);
  EXPECT_EQ(CoreShare::Batch(share).threads(), 8);
  EXPECT_EQ(CoreShare::Batch(share).threads(), 8) << "the previous batch has ended";
}

TEST(CoreShare, ConcurrentBatchesDivideTheCores) {
  CoreShare share(8);
  std::optional<CoreShare::Batch> first(share), second(share), third(share);
  EXPECT_EQ(second->threads(), 4);
  EXPECT_EQ(third->threads(), 2);
  EXPECT_EQ(first->threads(), 8) << "a batch keeps its share";
  first.reset();
  third.reset();
  EXPECT_EQ(CoreShare::Batch(share).threads(), 4) << "beside the second";
}

TEST(CoreShare, EveryBatchHasAThread) {
  CoreShare share(2);
  const CoreShare::Batch first(share), second(share), third(share);
  EXPECT_EQ(third.threads(), 1);
}

TEST(CoreShare, AFixedNumberOfThreadsAppliesToEveryBatch) {
  CoreShare share(2, 3);
  const CoreShare::Batch first(share), second(share);
  EXPECT_EQ(first.threads(), 3);
  EXPECT_EQ(second.threads(), 3);
}

}  // namespace
}  // namespace proad::server
