#include "server/batching/fair_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace proad::server {
namespace {

using ::testing::ElementsAre;
using Waiting = FairOrder::Waiting;

const absl::Time kStart = absl::FromUnixSeconds(1'000);
const absl::Time kNothingUrgent = absl::InfinitePast();

absl::Time At(int milliseconds) { return kStart + absl::Milliseconds(milliseconds); }

// Waiting images that are served one by one.
class Line {
 public:
  explicit Line(const std::vector<Waiting>& waiting = {}) {
    for (const Waiting& one : waiting) Add(one);
  }

  void Add(const Waiting& one, int count = 1) {
    for (; count > 0; --count) {
      order_.Add(one.flow);
      waiting_.push_back(one);
    }
  }

  std::vector<size_t> Indices(absl::Time urgent_before = kNothingUrgent) const {
    std::vector<size_t> indices;
    for (const auto& position : order_.Order(waiting_, urgent_before))
      indices.push_back(position.index);
    return indices;
  }

  // Returns the flow of the image.
  size_t ServeOne(absl::Time urgent_before = kNothingUrgent) {
    const FairOrder::Position position = order_.Order(waiting_, urgent_before).front();
    const size_t flow = waiting_[position.index].flow;
    order_.Serve(flow, position);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(position.index));
    return flow;
  }

  void ExpireAll() {
    for (const Waiting& one : waiting_) order_.Remove(one.flow);
    waiting_.clear();
  }

  size_t size() const { return waiting_.size(); }
  size_t flows() const { return order_.flows(); }

 private:
  FairOrder order_;
  std::vector<Waiting> waiting_;
};

TEST(FairOrderTest, OrdersNothing) { EXPECT_TRUE(FairOrder().Order({}, kStart).empty()); }

TEST(FairOrderTest, WithinAFlowTheNearestDeadlineIsFirstThenTheOldest) {
  const std::vector<Waiting> waiting = {{1, At(0), At(90)},
                                        {1, At(1), At(50)},
                                        {1, At(2), At(90)},
                                        {1, At(0), absl::InfiniteFuture()}};
  EXPECT_THAT(Line(waiting).Indices(), ElementsAre(1, 0, 2, 3));
}

TEST(FairOrderTest, FlowsAreServedInTurnHoweverManyImagesWait) {
  std::vector<Waiting> waiting(6, {1, At(0), At(10)});  // a flood with near deadlines
  waiting.push_back({2, At(5), At(500)});
  waiting.push_back({3, At(6), At(400)});
  waiting.push_back({2, At(7), At(501)});
  EXPECT_THAT(Line(waiting).Indices(), ElementsAre(0, 7, 6, 1, 8, 2, 3, 4, 5));
}

TEST(FairOrderTest, AFlowThatStartsLaterIsNotServedForThePast) {
  Line line;
  line.Add({1, At(0), At(100)}, 20);
  for (int i = 0; i < 10; ++i) line.ServeOne();
  line.Add({2, At(1), At(100)}, 10);
  std::map<size_t, int> served;
  for (int i = 0; i < 10; ++i) ++served[line.ServeOne()];
  EXPECT_EQ(served[1], 5);
  EXPECT_EQ(served[2], 5);
}

TEST(FairOrderTest, AFlowWhoseImagesExpiredIsNotServedLater) {
  Line line;
  line.Add({1, At(0), At(100)}, 100);
  line.ServeOne();
  line.ExpireAll();
  line.Add({1, At(200), At(300)});
  line.Add({2, At(200), At(300)}, 10);
  const size_t first = line.ServeOne();
  EXPECT_TRUE(first == 1 || line.ServeOne() == 1);
}

TEST(FairOrderTest, ANearDeadlineIsServedBeforeOtherFlows) {
  std::vector<Waiting> waiting(4, {1, At(0), At(500)});
  waiting.push_back({2, At(9), At(20)});
  waiting.push_back({2, At(9), At(21)});
  EXPECT_THAT(Line(waiting).Indices(At(30)), ElementsAre(4, 5, 0, 1, 2, 3));
}

TEST(FairOrderTest, NoFlowFallsBehindByMoreThanTheHeadStart) {
  // Every flow always has waiting images; those of flow 0 are always urgent.
  Line line;
  const auto add = [&line](size_t flow, int i) {
    line.Add({flow, At(i), flow == 0 ? At(i) : At(10'000 + i)});
  };
  for (const size_t flow : {0, 1, 2, 3}) {
    for (int i = 0; i < 20; ++i) add(flow, i);
  }
  std::map<size_t, int> served;
  for (int i = 0; i < 400; ++i) {
    const size_t flow = line.ServeOne(At(5'000));
    ++served[flow];
    add(flow, 20 + i);
    for (const size_t patient : {1, 2, 3}) {
      EXPECT_LE(served[0] - served[patient], FairOrder::kHeadStart + 1);
    }
  }
  EXPECT_GT(served[0], served[1]);
}

TEST(FairOrderTest, AFloodOfUrgentFlowsIsForgotten) {
  // A client that invents a category for each image, every one with a near deadline.
  Line line;
  for (size_t flow = 0; flow < 100'000; ++flow) {
    line.Add({flow, At(0), At(1)});
    line.ServeOne(At(10));
  }
  EXPECT_LE(line.flows(), FairOrder::kMaxIdleFlows);
}

TEST(FairOrderTest, AFlowThatIsAheadIsRemembered) {
  Line line;
  for (int i = 0; i < 8; ++i) {
    line.Add({1, At(0), At(1)});
    line.ServeOne(At(10));
  }
  EXPECT_EQ(line.flows(), 1u);
  line.Add({1, At(0), At(500)}, 2);
  line.Add({2, At(5), At(500)}, 2);
  EXPECT_EQ(line.ServeOne(), 2u) << "flow 1 has had its share";
  EXPECT_EQ(line.ServeOne(), 2u);
}

}  // namespace
}  // namespace proad::server
