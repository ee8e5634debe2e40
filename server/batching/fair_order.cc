#include "server/batching/fair_order.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace proad::server {

void FairOrder::Came(size_t flow) {
  ++flows_.try_emplace(flow, Flow{now_, 0}).first->second.waiting;
}

std::vector<FairOrder::Place> FairOrder::Order(absl::Span<const Waiting> waiting,
                                               absl::Time urgent_before) const {
  std::vector<size_t> by_deadline(waiting.size());
  std::iota(by_deadline.begin(), by_deadline.end(), size_t{0});
  std::sort(by_deadline.begin(), by_deadline.end(), [&](size_t a, size_t b) {
    return std::tie(waiting[a].deadline, waiting[a].enqueued, a) <
           std::tie(waiting[b].deadline, waiting[b].enqueued, b);
  });

  std::unordered_map<size_t, int64_t> next;  // turn, by flow
  std::vector<Place> places;
  places.reserve(waiting.size());
  for (const size_t index : by_deadline) {
    const Waiting& task = waiting[index];
    const int64_t turn =
        ++next.try_emplace(task.flow, flows_.at(task.flow).last_turn).first->second;
    const bool urgent = task.deadline < urgent_before;
    places.push_back({index, turn, turn - (urgent ? kHeadStart : 0)});
  }
  // Of equal ranks the nearest deadline goes first, as they stand already.
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.rank < b.rank; });
  return places;
}

void FairOrder::Went(size_t flow, const Place& place) {
  now_ = std::max(now_, place.rank);
  flows_.at(flow).last_turn = place.turn;
  Left(flow);
}

void FairOrder::Left(size_t flow) {
  --flows_.at(flow).waiting;
  std::erase_if(flows_, [this](const auto& entry) {
    return entry.second.waiting == 0 && entry.second.last_turn <= now_;
  });
}

}  // namespace proad::server
