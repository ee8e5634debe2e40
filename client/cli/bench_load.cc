#include "client/cli/bench_load.h"

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
#include "client/wait.h"
#include "proad/v1/detection.grpc.pb.h"

namespace proad::client {
namespace {

using Stub = proad::v1::DetectionService::Stub;

constexpr absl::Duration kObserveEvery = absl::Milliseconds(200);

// Computes the times at which images are due. Not thread-safe.
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

// Collects the samples of all senders and counts the outstanding answers. Thread-safe.
class Ledger {
 public:
  Ledger(const LoadPlan& plan, absl::Time start)
      : start_(start), counted_(start + plan.warmup), end_(counted_ + plan.duration) {}

  absl::Time start() const { return start_; }
  // No image is due at this time or later.
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

  // Blocks until the load is over and all sent images are answered.
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
  std::atomic<int64_t> open_ = 0;  // unanswered images; decremented under the lock only

  std::mutex mutex_;
  std::condition_variable changed_;
  absl::Time stopped_at_ = absl::InfiniteFuture();
  LoadProgress progress_;
  LoadResult result_;
};

// Makes asynchronous Detect calls.
class UnaryLoad {
 public:
  UnaryLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels, const LoadPlan& plan,
            Ledger& ledger)
      : plan_(plan), ledger_(ledger) {
    for (const auto& channel : channels) {
      stubs_.push_back(proad::v1::DetectionService::NewStub(channel));
    }
  }

  // Returns when no more images are due. Answers can be outstanding.
  void Run() {
    if (plan_.rate == 0) {
      for (int i = 0; i < plan_.clients; ++i) Start(absl::Now(), /*again=*/true);
      return;
    }
    // Late images are sent too: omitting them would hide the delay from the latencies.
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

  // `again`: starts the next call after the answer.
  void Start(absl::Time due, bool again) {
    ledger_.Sent();
    auto* call = new Call;  // deleted in the callback
    call->context.set_deadline(ToDeadline(absl::Now() + plan_.deadline));
    const uint64_t number = sent_++;
    stubs_[number % stubs_.size()]->async()->Detect(
        &call->context, &plan_.requests[number % plan_.requests.size()], &call->response,
        [this, call, due, again](const grpc::Status& status) {
          absl::StatusOr<proad::v1::DetectResponse> detection = std::move(call->response);
          if (!status.ok()) detection = ToStatus(status, call->context);
          // The call keeps its channel alive. The last reference to the channel must not be released
          // in this thread of gRPC, which the channel's destructor would wait for. Therefore the
          // call is deleted before Answered, after which the caller may release the channel.
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

// Sends the images of one client over one stream; in a closed loop, one at a time.
class StreamLoad {
 public:
  StreamLoad(const std::shared_ptr<grpc::Channel>& channel, const LoadPlan& plan, int client,
             Ledger& ledger)
      : plan_(plan),
        client_(client),
        ledger_(ledger),
        stream_(proad::v1::DetectionService::NewStub(channel)) {}

  // Returns after the last answer.
  void Run() {
    std::thread receiver([this] { ReceiveAll(); });
    const auto streams = static_cast<uint64_t>(plan_.clients);
    Pace pace(plan_.rate == 0 ? 1 : plan_.rate / static_cast<double>(streams), plan_.poisson,
              plan_.seed + static_cast<uint64_t>(client_), ledger_.start());
    for (uint64_t number = 0; !ledger_.Stopped(); ++number) {
      const absl::Time due = plan_.rate > 0 ? pace.Next() : absl::Now();
      if (due >= ledger_.end()) break;
      absl::SleepFor(due - absl::Now());
      if (!Send(number, due)) break;
      if (plan_.rate == 0) AwaitAnswer();
    }
    stream_.CloseSending();
    receiver.join();
  }

 private:
  // Returns false when the stream has ended.
  bool Send(uint64_t number, absl::Time due) {
    const uint64_t index =
        number * static_cast<uint64_t>(plan_.clients) + static_cast<uint64_t>(client_);
    proad::v1::DetectRequest request = plan_.requests[index % plan_.requests.size()];
    request.set_request_id(absl::StrCat("bench-", client_, "-", number));
    {
      const std::lock_guard lock(mutex_);
      if (ended_) return false;
      ledger_.Sent();
      due_of_.emplace(request.request_id(), due);
    }
    return stream_.Send(std::move(request)).ok();
  }

  void AwaitAnswer() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return due_of_.empty() || ended_; });
  }

  void ReceiveAll() {
    while (auto answer = stream_.Receive()) {
      absl::Time due;
      {
        const std::lock_guard lock(mutex_);
        const auto found = due_of_.find(answer->request_id);
        if (found == due_of_.end()) continue;  // no image with this id was sent
        due = found->second;
        due_of_.erase(found);
      }
      changed_.notify_all();
      ledger_.Answered(due, answer->detection);
    }
    const absl::Status error =
        stream_.status().ok() ? absl::UnavailableError("the stream ended") : stream_.status();
    std::map<std::string, absl::Time> unanswered;
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      unanswered.swap(due_of_);
    }
    changed_.notify_all();
    for (const auto& [id, due] : unanswered) ledger_.Answered(due, error);
  }

  const LoadPlan& plan_;
  const int client_;
  Ledger& ledger_;
  DetectStream stream_;

  std::mutex mutex_;  // guards the members below
  std::condition_variable changed_;
  std::map<std::string, absl::Time> due_of_;  // unanswered images by request_id
  bool ended_ = false;
};

}  // namespace

LoadResult RunLoad(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                   const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& observe) {
  Ledger ledger(plan, absl::Now());
  UnaryLoad unary(channels, plan, ledger);
  std::vector<std::thread> senders;
  if (plan.stream) {
    for (int i = 0; i < plan.clients; ++i) {
      const auto& channel = channels[static_cast<size_t>(i) % channels.size()];
      senders.emplace_back([&, channel, i] { StreamLoad(channel, plan, i, ledger).Run(); });
    }
  } else {
    senders.emplace_back([&] { unary.Run(); });
  }
  ledger.AwaitAnswers(observe);
  for (std::thread& sender : senders) sender.join();
  // Waits for images that a sender sent at the end of the load.
  ledger.AwaitAnswers(observe);
  return ledger.TakeResult();
}

}  // namespace proad::client
