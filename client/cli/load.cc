#include "client/cli/load.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/detect_stream.h"
#include "client/error.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {
namespace {

using Stub = proad::v1::DetectionService::Stub;

constexpr absl::Duration kObserveEvery = absl::Milliseconds(200);

// When images are due, for whoever asks next. Not thread-safe.
class Pace {
 public:
  Pace(double rate, bool poisson, uint64_t seed, absl::Time start)
      : rate_(rate), poisson_(poisson), random_(seed), next_(start) {}

  absl::Time Next() {
    const absl::Time due = next_;
    const double gap = poisson_ ? std::exponential_distribution<double>(rate_)(random_) : 1 / rate_;
    next_ += absl::Seconds(gap);
    return due;
  }

 private:
  const double rate_;
  const bool poisson_;
  std::mt19937_64 random_;
  absl::Time next_;
};

// The samples of all who send, and how many answers are still to come. Thread-safe.
class Ledger {
 public:
  Ledger(const LoadPlan& plan, absl::Time start)
      : start_(start), counted_(start + plan.warmup), end_(counted_ + plan.duration) {}

  absl::Time start() const { return start_; }
  // Nothing is due from then on.
  absl::Time end() const { return end_; }
  bool Stopped() const { return stopped_; }
  bool Over() const { return stopped_ || absl::Now() >= end_; }
  void Stop() {
    const std::lock_guard lock(mutex_);
    if (!stopped_) stopped_at_ = absl::Now();
    stopped_ = true;
  }

  void Sent() { ++open_; }

  void Answered(absl::Time due, const absl::StatusOr<proad::v1::DetectResponse>& detection) {
    LoadSample sample;
    const absl::Time now = absl::Now();
    sample.due = due;
    sample.latency = now - due;
    sample.code = detection.status().code();
    if (detection.ok()) {
      const auto& version = detection->model_version();
      sample.version = absl::StrCat(version.name(), "@", version.version());
    } else {
      sample.reason = DetailsOf(detection.status()).reason;
    }
    const std::lock_guard lock(mutex_);
    ++progress_.answered;
    if (!detection.ok()) ++progress_.failed;
    if (detection.ok() && now >= counted_ && now < std::min(end_, stopped_at_)) ++result_.answered;
    if (due >= counted_) result_.samples.push_back(std::move(sample));
    --open_;
    changed_.notify_all();
  }

  // Until everything that was sent is answered.
  void AwaitAnswers(const std::function<bool(const LoadProgress&)>& observe) {
    while (true) {
      LoadProgress progress;
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, absl::ToChronoNanoseconds(kObserveEvery),
                          [this] { return Over() && open_ == 0; });
        if (Over() && open_ == 0) return;
        progress = progress_;
      }
      progress.elapsed = absl::Now() - start_;
      if (!observe(progress)) Stop();
    }
  }

  LoadResult TakeResult() {
    const std::lock_guard lock(mutex_);
    result_.measured = std::max(std::min(end_, stopped_at_) - counted_, absl::ZeroDuration());
    return std::move(result_);
  }

 private:
  const absl::Time start_;
  const absl::Time counted_;
  const absl::Time end_;
  std::atomic<bool> stopped_ = false;
  std::atomic<int64_t> open_ = 0;  // changed under the lock when it becomes less

  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Time stopped_at_ = absl::InfiniteFuture();
  LoadProgress progress_;
  LoadResult result_;
};

// Calls of their own, without a thread for each.
class UnaryLoad {
 public:
  UnaryLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels, const LoadPlan& plan,
            Ledger& ledger)
      : plan_(plan), ledger_(ledger) {
    for (const auto& channel : channels) {
      stubs_.push_back(proad::v1::DetectionService::NewStub(channel));
    }
  }

  // Returns when nothing more is due; answers may still be to come.
  void Run() {
    if (plan_.rate == 0) {
      for (int i = 0; i < plan_.clients; ++i) Start(absl::Now(), /*again=*/true);
      return;
    }
    // What was due is sent though its time has passed: to leave it out would hide that it waited.
    Pace pace(plan_.rate, plan_.poisson, plan_.seed, ledger_.start());
    for (absl::Time due = pace.Next(); due < ledger_.end() && !ledger_.Stopped();
         due = pace.Next()) {
      absl::SleepFor(due - absl::Now());
      Start(due, /*again=*/false);
    }
  }

 private:
  struct Call {
    grpc::ClientContext context;
    proad::v1::DetectResponse response;
  };

  // `again`: the next call begins when this one is answered.
  void Start(absl::Time due, bool again) {
    ledger_.Sent();
    auto* call = new Call;  // gRPC's until the callback
    call->context.set_deadline(absl::ToChronoTime(absl::Now() + plan_.deadline));
    const uint64_t number = sent_++;
    stubs_[number % stubs_.size()]->async()->Detect(
        &call->context, &plan_.requests[number % plan_.requests.size()], &call->response,
        [this, call, due, again](const grpc::Status& status) {
          absl::StatusOr<proad::v1::DetectResponse> detection = std::move(call->response);
          if (!status.ok()) detection = ToStatus(status, call->context);
          // It holds its channel, which must not end in gRPC's thread: that would wait for itself.
          // Once the last answer is counted, the caller may let go of the channel.
          delete call;
          if (again && !ledger_.Over()) Start(absl::Now(), again);
          ledger_.Answered(due, detection);
        });
  }

  const LoadPlan& plan_;
  Ledger& ledger_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::atomic<uint64_t> sent_ = 0;
};

// One stream; of a closed loop with one frame in flight.
void RunStream(const std::shared_ptr<grpc::Channel>& channel, const LoadPlan& plan, int client,
               Ledger& ledger) {
  DetectStream stream(proad::v1::DetectionService::NewStub(channel));
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, absl::Time> due_of;  // frames that are not answered
  bool ended = false;
  std::thread receiver([&] {
    while (auto answer = stream.Receive()) {
      absl::Time due;
      {
        const std::lock_guard lock(mutex);
        const auto found = due_of.find(answer->request_id);
        if (found == due_of.end()) continue;  // an answer to nothing that was sent
        due = found->second;
        due_of.erase(found);
      }
      changed.notify_all();
      ledger.Answered(due, answer->detection);
    }
    const std::lock_guard lock(mutex);
    ended = true;
    for (const auto& [id, due] : due_of) {
      ledger.Answered(
          due, stream.status().ok() ? absl::UnavailableError("the stream ended") : stream.status());
    }
    changed.notify_all();
  });

  const uint64_t streams = static_cast<uint64_t>(plan.clients);
  Pace pace(plan.rate == 0 ? 1 : plan.rate / static_cast<double>(streams), plan.poisson,
            plan.seed + static_cast<uint64_t>(client), ledger.start());
  for (uint64_t number = 0; !ledger.Stopped(); ++number) {
    const absl::Time due = plan.rate > 0 ? pace.Next() : absl::Now();
    if (due >= ledger.end()) break;
    absl::SleepFor(due - absl::Now());
    proad::v1::DetectRequest request =
        plan.requests[(number * streams + static_cast<uint64_t>(client)) % plan.requests.size()];
    request.set_request_id(absl::StrCat("bench-", client, "-", number));
    {
      const std::lock_guard lock(mutex);
      if (ended) break;
      ledger.Sent();
      due_of.emplace(request.request_id(), due);
    }
    if (!stream.Send(std::move(request)).ok()) break;
    if (plan.rate > 0) continue;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return due_of.empty() || ended; });
  }
  stream.CloseSending();
  receiver.join();
}

}  // namespace

LoadResult RunLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& observe) {
  Ledger ledger(plan, absl::Now());
  UnaryLoad unary(channels, plan, ledger);
  std::vector<std::thread> senders;
  if (plan.stream) {
    for (int i = 0; i < plan.clients; ++i) {
      const auto& channel = channels[static_cast<size_t>(i) % channels.size()];
      senders.emplace_back([&, channel, i] { RunStream(channel, plan, i, ledger); });
    }
  } else {
    senders.emplace_back([&] { unary.Run(); });
  }
  ledger.AwaitAnswers(observe);
  for (std::thread& sender : senders) sender.join();
  // What a sender had just begun when the time was over.
  ledger.AwaitAnswers(observe);
  return ledger.TakeResult();
}

}  // namespace proad::client
