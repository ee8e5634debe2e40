#include "server/batching/fair_order.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace proad::server {

void FairOrder::Add(size_t flow) {
  Flow& entry = flows_.try_emplace(flow, Flow{now_, 0}).first->second;
  if (entry.waiting++ == 0) idle_.erase({entry.last_tag, flow});
}

std::vector<FairOrder::Position> FairOrder::Order(absl::Span<const Waiting> waiting,
                                                  absl::Time urgent_before) const {
  std::vector<size_t> by_deadline(waiting.size());
  std::iota(by_deadline.begin(), by_deadline.end(), size_t{0});
  std::sort(by_deadline.begin(), by_deadline.end(), [&](size_t a, size_t b) {
    return std::tie(waiting[a].deadline, waiting[a].enqueued, a) <
           std::tie(waiting[b].deadline, waiting[b].enqueued, b);
  });

  std::unordered_map<size_t, int64_t> last_tag;  // by flow
  std::vector<Position> positions;
  positions.reserve(waiting.size());
  for (const size_t index : by_deadline) {
    const Waiting& image = waiting[index];
    const int64_t tag =
        ++last_tag.try_emplace(image.flow, flows_.at(image.flow).last_tag).first->second;
    const bool urgent = image.deadline < urgent_before;
    positions.push_back({index, tag, tag - (urgent ? kHeadStart : 0)});
  }
  // Stable: of equal ranks the nearest deadline stays first.
  std::stable_sort(positions.begin(), positions.end(),
                   [](const Position& a, const Position& b) { return a.rank < b.rank; });
  return positions;
}

void FairOrder::Serve(size_t flow, const Position& position) {
  now_ = std::max(now_, position.rank);
  flows_.at(flow).last_tag = position.tag;
  Remove(flow);
}

void FairOrder::Remove(size_t flow) {
  Flow& entry = flows_.at(flow);
  if (--entry.waiting == 0) idle_.emplace(entry.last_tag, flow);
  // A flow that is not ahead of the virtual time starts like a new one: nothing to remember.
  while (!idle_.empty() && (idle_.begin()->first <= now_ || idle_.size() > kMaxIdleFlows)) {
    flows_.erase(idle_.begin()->second);
    idle_.erase(idle_.begin());
  }
}

}  // namespace proad::server
