// Everything at once below gRPC: many clients with deadlines and second thoughts, versions that
// take turns, and a model that fails in every way that models fail. Whatever happens, each request
// gets one answer, its own, and the books balance.
//
// Takes PROAD_STRESS_SECONDS, by default 8.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/telemetry/log.h"
#include "server/util/status_details.h"
#include "tests/support/fake_model.h"
#include "tests/support/pipeline.h"
#include "tests/support/sync.h"

namespace proad::server {
namespace {

constexpr int kClients = 64;
constexpr int kWorkers = 4;
constexpr int kLostDevices = 2;  // of the workers', so that some are left
constexpr int kHungBatches = 3;

absl::Duration HowLong() {
  const char* const seconds = std::getenv("PROAD_STRESS_SECONDS");
  double value = 8;
  if (seconds != nullptr && !absl::SimpleAtod(seconds, &value)) std::abort();
  return absl::Seconds(value);
}

// What becomes of requests.
enum Outcome { kAnswered, kRefused, kExpired, kCancelled, kFailed, kUnexpected, kOutcomes };

Outcome OutcomeOf(const absl::Status& status) {
  const std::string reason = GetDetails(status).reason;
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kAnswered;
    case absl::StatusCode::kDeadlineExceeded:
      return kExpired;
    case absl::StatusCode::kCancelled:
      return kCancelled;
    case absl::StatusCode::kResourceExhausted:
      return reason == "DEVICE_OUT_OF_MEMORY" ? kFailed : kRefused;
    case absl::StatusCode::kInternal:
      return reason == "MODEL_FAILED" || reason == "NON_FINITE_OUTPUT" ? kFailed : kUnexpected;
    case absl::StatusCode::kUnavailable:
      return reason == "WORKER_HUNG" || reason == "DEVICE_LOST" ? kFailed : kUnexpected;
    default:
      return kUnexpected;
  }
}

// How the model fails. Shared with its threads, of which some outlive the pipeline.
struct Faults {
  std::atomic<bool> on = true;
  std::atomic<uint32_t> batches = 0;
  std::atomic<int> lost = 0, hung = 0;
  Event end{"the end of the test"};  // of those that hang
};

// A version whose scores are those of FakeModel times `factor`, so that a version's answers are
// known as its own.
std::shared_ptr<FakeModel> FailingVersion(const std::string& version, double factor,
                                          const std::shared_ptr<Faults>& faults) {
  auto model = std::make_shared<FakeModel>(FakeManifest("fake", version));
  model->SetTwist([factor, faults](const std::vector<uint32_t>&, FakeModel::Answers& answers) {
    for (Inference& inference : *answers) inference.score *= factor;
    if (!faults->on) return;
    const uint32_t number = faults->batches++;
    if (number % 97 == 13) throw std::runtime_error("a kernel failed");
    if (number % 500 == 250 && faults->hung++ < kHungBatches) {
      faults->end.WaitWithoutLimit();
    } else if (number % 900 == 450 && faults->lost++ < kLostDevices) {
      answers = absl::UnavailableError("the device is gone");
    } else if (number % 89 == 17) {
      answers = absl::ResourceExhaustedError("the device is full");
    } else if (number % 83 == 19) {
      answers = absl::InternalError("an assertion failed");
    } else if (number % 79 == 23) {
      answers->back().score = std::numeric_limits<double>::quiet_NaN();
    } else if (number % 73 == 29) {
      answers->pop_back();
    }
  });
  return model;
}

constexpr double kFactors[] = {1, 0.5};  // of versions 1 and 2

class Client {
 public:
  Client(int number, Detector& detector) : number_(number), random_(number), detector_(detector) {}

  // One request after the other.
  void Run(absl::Time end) {
    while (absl::Now() < end) Ask();
  }

  const std::array<int64_t, kOutcomes>& outcomes() const { return outcomes_; }
  int64_t sent() const { return sent_; }
  int64_t answers() const { return answers_; }  // to all of them; more would be too many
  int64_t strange() const { return strange_; }  // answers that belong to another request or version
  const std::string& last_unexpected() const { return last_unexpected_; }

  void Ask() {
    // Its own for each request, so that answers that come twice, or late, are told apart.
    struct Mine {
      std::vector<uint8_t> pixels;
      Event answered{"the answer to a request"};
      absl::StatusOr<Detection> answer = absl::UnknownError("");
    };
    const uint32_t marker = static_cast<uint32_t>(number_ << 17 | (sent_++ & 0x1ffff)) & 0x7fffff;
    const auto mine = std::make_shared<Mine>();
    mine->pixels = MarkedImage(marker).pixels;
    DetectQuery query = Query(mine->pixels);
    const CancelFlag flag = query.cancelled;
    detector_.Detect(std::move(query), [this, mine](absl::StatusOr<Detection> answer) {
      ++answers_;
      mine->answer = std::move(answer);
      mine->answered.Set();
    });
    if (Chance(10)) {
      if (Chance(50)) std::this_thread::yield();
      flag->store(true);
      detector_.AnswerCancelled();
    }
    mine->answered.Wait();
    Check(marker, mine->answer);
  }

 private:
  DetectQuery Query(const std::vector<uint8_t>& pixels) {
    DetectQuery query;
    model::FrameView frame;
    frame.width = frame.height = kFakeSide;
    frame.format = model::PixelFormat::kRgb8;
    frame.data = pixels;
    query.image = frame;
    query.category = absl::StrCat("category-", random_() % 5);
    if (Chance(20)) query.outputs.heatmap = model::HeatmapEncoding::kFloat32;
    if (Chance(70)) query.deadline = absl::Now() + absl::Microseconds(random_() % 50'000);
    query.cancelled = std::make_shared<std::atomic<bool>>(false);
    return query;
  }

  void Check(uint32_t marker, const absl::StatusOr<Detection>& answer) {
    const Outcome outcome = OutcomeOf(answer.status());
    ++outcomes_[outcome];
    if (outcome == kUnexpected) last_unexpected_ = answer.status().ToString();
    if (!answer.ok()) return;
    const bool second = answer->model->manifest().version == "2";
    if (answer->score != FakeScore(marker) * kFactors[second]) ++strange_;
  }

  bool Chance(uint32_t percent) { return random_() % 100 < percent; }

  const int number_;
  std::minstd_rand random_;
  Detector& detector_;
  int64_t sent_ = 0;
  std::atomic<int64_t> answers_ = 0;
  int64_t strange_ = 0;
  std::array<int64_t, kOutcomes> outcomes_ = {};
  std::string last_unexpected_;
};

PipelineOptions Options() {
  PipelineOptions options;
  options.admission.max_images = 48;  // fewer than clients: some are refused
  options.batching.batch.max_batch = 4;
  options.batching.batch.max_delay = absl::Milliseconds(1);
  options.workers.workers = kWorkers;
  options.workers.hang_timeout = absl::Seconds(1);
  return options;
}

TEST(Stress, EveryRequestGetsItsOwnAnswerOnce) {
  SetLogLevel(LogLevel::kOff);
  const auto faults = std::make_shared<Faults>();
  std::vector<std::unique_ptr<Client>> clients;
  {
    Pipeline pipeline(Options(), {FailingVersion("1", kFactors[0], faults),
                                  FailingVersion("2", kFactors[1], faults)});
    for (int i = 0; i < kClients; ++i) {
      clients.push_back(std::make_unique<Client>(i, pipeline.detector));
    }
    const absl::Time end = absl::Now() + HowLong();
    std::vector<std::thread> threads;
    for (const auto& client : clients) threads.emplace_back([&client, end] { client->Run(end); });
    int swaps = 0;
    while (absl::Now() < end) {
      EXPECT_TRUE(
          pipeline.serving.lifecycle.Activate("fake", ++swaps % 2 ? "2" : "1", std::nullopt).ok());
    }
    for (std::thread& thread : threads) thread.join();

    // When nothing fails any more, everything is as before.
    faults->on = false;
    faults->end.Set();
    Client after(kClients, pipeline.detector);
    for (int i = 0; i < 20; ++i) after.Ask();
    EXPECT_EQ(after.outcomes()[kFailed] + after.outcomes()[kRefused], 0);
    EXPECT_EQ(after.strange(), 0);
    EXPECT_EQ(pipeline.workers.serving(), kWorkers - std::min(faults->lost.load(), kLostDevices));
    EXPECT_EQ(pipeline.batcher.waiting(), 0u);
    EXPECT_EQ(pipeline.admission.in_flight(), 0);
    EXPECT_EQ(pipeline.admission.bytes(), 0);
    EXPECT_GT(swaps, 1);

    std::array<int64_t, kOutcomes> outcomes = after.outcomes();
    int64_t sent = after.sent();
    for (const auto& client : clients) {
      for (size_t i = 0; i < kOutcomes; ++i) outcomes[i] += client->outcomes()[i];
      sent += client->sent();
      EXPECT_EQ(client->answers(), client->sent());
      EXPECT_EQ(client->strange(), 0) << "answers of others";
      EXPECT_EQ(client->outcomes()[kUnexpected], 0) << client->last_unexpected();
    }
    const Rejected& rejected = pipeline.metrics.rejected;
    EXPECT_EQ(outcomes[kRefused], rejected.queue_full.Value() + rejected.bytes_full.Value() +
                                      rejected.deadline_unattainable.Value());
    EXPECT_EQ(outcomes[kExpired], rejected.deadline_expired.Value());
    EXPECT_EQ(outcomes[kCancelled], rejected.cancelled.Value());
    EXPECT_GT(outcomes[kAnswered], 0);
    EXPECT_GT(outcomes[kFailed], 0);
    std::cout << sent << " sent, " << outcomes[kAnswered] << " answered, " << outcomes[kRefused]
              << " refused, " << outcomes[kExpired] << " expired, " << outcomes[kCancelled]
              << " cancelled, " << outcomes[kFailed] << " failed; " << swaps << " swaps, "
              << faults->batches << " batches with faults\n";
  }
}

}  // namespace
}  // namespace proad::server
