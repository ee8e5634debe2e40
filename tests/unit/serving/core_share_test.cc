#include "server/serving/core_share.h"

#include <gtest/gtest.h>

#include <optional>

namespace proad::server {
namespace {

TEST(CoreShare, ABatchAloneHasAllCores) {
  CoreShare share(8);
  EXPECT_EQ(CoreShare::Batch(share).threads(), 8);
  EXPECT_EQ(CoreShare::Batch(share).threads(), 8) << "the one before is over";
}

TEST(CoreShare, SeveralDivideThem) {
  CoreShare share(8);
  std::optional<CoreShare::Batch> first(share), second(share), third(share);
  EXPECT_EQ(second->threads(), 4);
  EXPECT_EQ(third->threads(), 2);
  EXPECT_EQ(first->threads(), 8) << "what a batch has it keeps";
  first.reset();
  third.reset();
  EXPECT_EQ(CoreShare::Batch(share).threads(), 4) << "beside the second";
}

TEST(CoreShare, NoneIsWithoutAThread) {
  CoreShare share(2);
  const CoreShare::Batch first(share), second(share), third(share);
  EXPECT_EQ(third.threads(), 1);
}

TEST(CoreShare, AFixedNumberIsForEveryBatch) {
  CoreShare share(2, 3);
  const CoreShare::Batch first(share), second(share);
  EXPECT_EQ(first.threads(), 3);
  EXPECT_EQ(second.threads(), 3);
}

}  // namespace
}  // namespace proad::server
