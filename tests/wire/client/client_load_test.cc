// The load that `proad bench` generates, and its statistics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "client/channel.h"
#include "client/cli/bench_load.h"
#include "client/cli/bench_report.h"
#include "tests/support/wire_server.h"

namespace proad::client {
namespace {

using server::WireServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr auto kGoOn = [](const LoadProgress&) { return true; };

// On a busy machine no time is long enough for a number of answers.
constexpr auto kUntilTen = [](const LoadProgress& progress) { return progress.answered < 10; };

proad::v1::DetectRequest Frame() {
  proad::v1::DetectRequest request;
  request.mutable_frame()->set_width(8);
  request.mutable_frame()->set_height(8);
  request.mutable_frame()->set_pixel_format(proad::v1::PIXEL_FORMAT_RGB8);
  request.mutable_frame()->set_data(std::string(8 * 8 * 3, '\1'));
  return request;
}

LoadPlan Short() {
  LoadPlan plan;
  plan.requests = {Frame()};
  plan.warmup = absl::ZeroDuration();
  plan.duration = absl::Milliseconds(200);
  return plan;
}

LoadPlan Endless() {
  LoadPlan plan = Short();
  plan.duration = absl::Hours(1);
  return plan;
}

std::vector<std::shared_ptr<grpc::Channel>> Channels(const WireServer& server) {
  return {Connect({.address = server.address})};
}

TEST(LoadTest, AClosedLoopHasOneCallInFlightPerClient) {
  WireServer server;
  LoadPlan plan = Endless();
  plan.clients = 4;
  const LoadResult result = RunLoad(Channels(server), plan, kUntilTen);
  EXPECT_EQ(result.samples.size(), server.model().Seen().size());
  EXPECT_GE(result.samples.size(), 10u);
  for (const LoadSample& sample : result.samples) {
    EXPECT_EQ(sample.code, absl::StatusCode::kOk);
    EXPECT_EQ(sample.version, "fake@1");
  }
}

TEST(LoadTest, TheWarmUpIsNotCounted) {
  WireServer server;
  LoadPlan plan = Short();
  plan.warmup = absl::Milliseconds(100);
  const LoadResult result = RunLoad(Channels(server), plan, kGoOn);
  EXPECT_LT(result.samples.size(), server.model().Seen().size());
}

TEST(LoadTest, TheRateCoversTheTimeWithDueImages) {
  WireServer server;
  server.model().Hold();
  LoadPlan plan = Short();
  plan.clients = 4;
  // Every answer comes when the time is over: they are good, and no rate.
  const LoadResult held = RunLoad(Channels(server), plan, [&](const LoadProgress& progress) {
    if (progress.elapsed >= plan.duration) server.model().Release();
    return true;
  });
  EXPECT_EQ(held.samples.size(), 4u);
  EXPECT_EQ(held.measured, plan.duration);
  EXPECT_EQ(held.answered, 0);

  const LoadResult free = RunLoad(Channels(server), Endless(), kUntilTen);
  EXPECT_GE(free.answered, 10);
  EXPECT_LE(free.answered, static_cast<int64_t>(free.samples.size()));
  EXPECT_LT(free.measured, absl::Hours(1));
}

TEST(LoadTest, AnOpenLoopSendsWithoutAnswers) {
  WireServer server;
  server.model().Hold();
  LoadPlan plan = Short();
  plan.rate = 200;
  plan.poisson = false;
  // Answers come only when the plan is over: nothing waited for them.
  const LoadResult result = RunLoad(Channels(server), plan, [&](const LoadProgress& progress) {
    if (progress.elapsed >= plan.duration) server.model().Release();
    return true;
  });
  EXPECT_EQ(result.samples.size(), 40u);
  // The wait counts from when each was due, so the first waited for the whole time.
  absl::Duration longest;
  for (const LoadSample& sample : result.samples) longest = std::max(longest, sample.latency);
  EXPECT_GE(longest, plan.duration);
}

TEST(LoadTest, ErrorsAreCountedByCodeAndReason) {
  WireServer server;
  LoadPlan plan = Endless();
  plan.requests.push_back(Frame());
  plan.requests.back().set_model("nobody");
  const LoadReport report = MakeLoadReport(plan, RunLoad(Channels(server), plan, kUntilTen));
  EXPECT_GT(report.ok, 0);
  EXPECT_THAT(report.errors,
              ElementsAre(Pair("NOT_FOUND MODEL_NOT_FOUND", report.sent - report.ok)));
  EXPECT_GT(report.sent, report.ok);
}

TEST(LoadTest, StreamsAnswerEveryFrameInBothLoops) {
  for (const double rate : {0.0, 300.0}) {
    WireServer server;
    LoadPlan plan = Endless();
    plan.stream = true;
    plan.clients = 3;
    plan.rate = rate;
    const LoadResult result = RunLoad(Channels(server), plan, kUntilTen);
    EXPECT_GE(result.samples.size(), 10u) << rate;
    EXPECT_EQ(result.samples.size(), server.model().Seen().size()) << rate;
    for (const LoadSample& sample : result.samples) EXPECT_EQ(sample.code, absl::StatusCode::kOk);
  }
}

TEST(LoadTest, EveryImageIsCountedWhenTheServerStops) {
  for (const bool stream : {false, true}) {
    auto server = std::make_unique<WireServer>();
    const auto channels = Channels(*server);
    LoadPlan plan = Endless();
    plan.clients = 2;
    plan.stream = stream;
    const LoadResult result = RunLoad(channels, plan, [&](const LoadProgress& progress) {
      if (progress.answered > 10) server = nullptr;
      return progress.failed == 0 && server != nullptr;
    });
    EXPECT_GT(result.samples.size(), 10u);
  }
}

TEST(LoadReportTest, PercentilesAreNearestRanks) {
  std::vector<double> sorted;
  for (int i = 1; i <= 1000; ++i) sorted.push_back(i);
  EXPECT_EQ(Percentile(sorted, 0.5), 500);
  EXPECT_EQ(Percentile(sorted, 0.999), 999);
  EXPECT_EQ(Percentile(sorted, 1), 1000);
  EXPECT_EQ(Percentile({7}, 0.5), 7);
  EXPECT_EQ(Percentile({1, 2}, 0.5), 1);
}

TEST(LoadReportTest, ReportsEveryResult) {
  LoadResult result;
  result.measured = absl::Seconds(2);
  result.answered = 10;
  for (int i = 1; i <= 10; ++i) {
    result.samples.push_back(
        {absl::Now(), absl::Milliseconds(i), absl::StatusCode::kOk, "", "m@1"});
  }
  result.samples.push_back({absl::Now(), absl::Milliseconds(50),
                            absl::StatusCode::kResourceExhausted, "QUEUE_FULL", ""});
  result.samples.push_back(
      {absl::Now(), absl::Milliseconds(90), absl::StatusCode::kUnavailable, "", ""});
  LoadPlan plan;
  plan.clients = 3;
  const LoadReport report = MakeLoadReport(plan, result);
  EXPECT_EQ(report.sent, 12);
  EXPECT_EQ(report.ok, 10);
  EXPECT_EQ(report.rate, 5);
  EXPECT_EQ(report.latencies->p50, 5);
  EXPECT_EQ(report.latencies->max, 10);  // errors do not make it look faster or slower
  EXPECT_EQ(report.refusals->p50, 50);
  const std::string text = ToText(report);
  EXPECT_THAT(text, HasSubstr("12 images sent, 10 answered with a detection, 5.0 per second"));
  EXPECT_THAT(text, HasSubstr("1 RESOURCE_EXHAUSTED QUEUE_FULL\n1 UNAVAILABLE\n"));
  const nlohmann::json json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["clients"], 3);
  EXPECT_EQ(json["latency_ms"]["p90"], 9);
  EXPECT_EQ(json["errors"]["UNAVAILABLE"], 1);
}

TEST(LoadReportTest, NoAnswersGiveNoLatencies) {
  const LoadReport report = MakeLoadReport({}, {});
  EXPECT_FALSE(report.latencies.has_value());
  EXPECT_TRUE(nlohmann::json::parse(ToJson(report))["latency_ms"].is_null());
}

TEST(LoadReportTest, TheKneeHasTheLowestSufficientNumberOfClients) {
  const auto at = [](double rate) {
    LoadReport report;
    report.rate = rate;
    return report;
  };
  EXPECT_EQ(KneeOf({{1, at(10)}, {2, at(19)}, {4, at(30)}, {8, at(31)}, {16, at(30.5)}}), 4);
  EXPECT_EQ(KneeOf({{1, at(0)}}), 1);
}

}  // namespace
}  // namespace proad::client
