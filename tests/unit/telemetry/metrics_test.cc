#include "server/telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

// Lines of the exposition that start with `prefix`.
std::vector<std::string> Lines(const Metrics& metrics, const std::string& prefix) {
  std::vector<std::string> found;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(metrics.Serialize(), '\n'))) {
    if (line.rfind(prefix, 0) == 0) found.push_back(line);
  }
  return found;
}

TEST(Metrics, ShowsEverySeriesWithFixedLabelsFromTheStart) {
  Metrics metrics;
  const std::string text = metrics.Serialize();
  for (const char* line : {"proad_queue_depth 0",
                           "proad_queue_oldest_seconds 0",
                           "proad_inflight 0",
                           "proad_inflight_bytes 0",
                           "proad_inflight_limit 0",
                           "proad_inflight_bytes_limit 0",
                           "proad_output_bytes 0",
                           "proad_output_bytes_limit 0",
                           "proad_streams 0",
                           "proad_ready 0",
                           "proad_batch_size_count 0",
                           "proad_model_load_seconds_count 0",
                           "proad_stage_seconds_count{stage=\"queue\"} 0",
                           "proad_stage_seconds_count{stage=\"preprocess\"} 0",
                           "proad_stage_seconds_count{stage=\"batch_wait\"} 0",
                           "proad_stage_seconds_count{stage=\"inference\"} 0",
                           "proad_stage_seconds_count{stage=\"postprocess\"} 0",
                           "proad_batch_dispatch_total{cause=\"full\"} 0",
                           "proad_batch_dispatch_total{cause=\"delay\"} 0",
                           "proad_batch_dispatch_total{cause=\"deadline\"} 0",
                           "proad_batch_dispatch_total{cause=\"idle_worker\"} 0",
                           "proad_batch_dispatch_total{cause=\"drain\"} 0",
                           "proad_rejected_total{reason=\"queue_full\"} 0",
                           "proad_rejected_total{reason=\"output_full\"} 0",
                           "proad_build_info{"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Metrics, CountsRequestsByRpcAndCode) {
  Metrics metrics;
  RpcMetrics detect(metrics, "Detect");
  detect.Answered(absl::StatusCode::kOk, absl::Milliseconds(7));
  detect.Answered(absl::StatusCode::kOk, absl::Seconds(20));
  detect.Answered(absl::StatusCode::kInvalidArgument, absl::ZeroDuration());
  detect.Answered(static_cast<absl::StatusCode>(99), absl::ZeroDuration());
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("proad_requests_total{code=\"OK\",rpc=\"Detect\"} 2\n"));
  EXPECT_THAT(text,
              HasSubstr("proad_requests_total{code=\"INVALID_ARGUMENT\",rpc=\"Detect\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("proad_requests_total{code=\"UNKNOWN\",rpc=\"Detect\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("proad_request_seconds_count{rpc=\"Detect\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("proad_request_seconds_bucket{rpc=\"Detect\",le=\"0.01\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("proad_request_seconds_bucket{rpc=\"Detect\",le=\"30\"} 4\n"));
}

TEST(Metrics, ShowsExpectedCodesBeforeTheyAreAnswered) {
  Metrics metrics;
  const RpcMetrics detect(metrics, "Detect", {absl::StatusCode::kOk, absl::StatusCode::kInternal});
  EXPECT_THAT(Lines(metrics, "proad_requests_total{"),
              UnorderedElementsAre("proad_requests_total{code=\"OK\",rpc=\"Detect\"} 0",
                                   "proad_requests_total{code=\"INTERNAL\",rpc=\"Detect\"} 0"));
}

TEST(Metrics, CountsVerdictsAndScoresByCategory) {
  Metrics metrics;
  metrics.CountVerdict("pcb", true, VerdictLabel::kAnomalous, 0.4, 0.8);
  metrics.CountVerdict("pcb", true, VerdictLabel::kNormal, 0.02, 0.04);
  metrics.CountVerdict("", true, VerdictLabel::kUndecided, 0.1, std::nullopt);
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text, HasSubstr("proad_verdicts_total{category=\"pcb\",verdict=\"anomalous\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("proad_verdicts_total{category=\"pcb\",verdict=\"normal\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("proad_verdicts_total{category=\"_none\",verdict=\"undecided\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("proad_score_sum{category=\"pcb\"} 0.42\n"));
  EXPECT_THAT(text, HasSubstr("proad_normalized_score_bucket{category=\"pcb\",le=\"0.5\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("proad_normalized_score_count{category=\"pcb\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("proad_normalized_score_count{category=\"_none\"} 0\n"));
}

TEST(Metrics, ManyCategoriesShareOneLabel) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) {
    metrics.CountVerdict(absl::StrCat("category-", i), false, VerdictLabel::kNormal, 0.1,
                         std::nullopt);
  }
  metrics.CountVerdict("category-3", false, VerdictLabel::kNormal, 0.1, std::nullopt);
  // One more than the bound, for "_other"; three verdicts each.
  EXPECT_EQ(Lines(metrics, "proad_verdicts_total{").size(), (Metrics::kMaxCategories + 1) * 3);
  const std::string text = metrics.Serialize();
  EXPECT_THAT(text,
              HasSubstr("proad_verdicts_total{category=\"_other\",verdict=\"normal\"} 936\n"));
  EXPECT_THAT(text,
              HasSubstr("proad_verdicts_total{category=\"category-3\",verdict=\"normal\"} 2\n"));
}

TEST(Metrics, InventedCategoriesLeaveTheLabelsOfKnownOnesFree) {
  Metrics metrics;
  for (int i = 0; i < 1000; ++i) {
    metrics.CountVerdict(absl::StrCat("invented-", i), false, VerdictLabel::kNormal, 0.1,
                         std::nullopt);
  }
  metrics.CountVerdict("pcb", true, VerdictLabel::kNormal, 0.1, std::nullopt);
  EXPECT_THAT(metrics.Serialize(),
              HasSubstr("proad_verdicts_total{category=\"pcb\",verdict=\"normal\"} 1\n"));
}

TEST(Metrics, LabelsCannotBreakTheExposition) {
  Metrics metrics;
  metrics.CountVerdict("a\"} 1\nproad_forged 1\n#", false, VerdictLabel::kNormal, 0.1,
                       std::nullopt);
  EXPECT_THAT(Lines(metrics, "proad_forged"), ::testing::IsEmpty());
  EXPECT_THAT(metrics.Serialize(), HasSubstr("category=\"a\\\"} 1\\nproad_forged 1\\n#\""));
}

TEST(Metrics, ShowsServingVersionsOnlyWithTheirQuality) {
  Metrics metrics;
  metrics.SetModelInfo("pcb", "3", "abc", {{"image_auroc", 0.5}});
  metrics.SetModelInfo("brick", "1", "def",
                       {{"image_auroc", 0.75}, {"image_auroc/red", 0.5}, {"of_no_use", 1}});
  metrics.ClearModelInfo("pcb", "3", "abc");
  EXPECT_THAT(Lines(metrics, "proad_model_info{"),
              ElementsAre("proad_model_info{hash=\"def\",model=\"brick\",version=\"1\"} 1"));
  EXPECT_THAT(
      Lines(metrics, "proad_model_quality{"),
      ElementsAre(
          "proad_model_quality{metric=\"image_auroc\",model=\"brick\",version=\"1\"} 0.75"));
}

TEST(Metrics, ShowsThePhaseOfEachRunningJob) {
  Metrics metrics;
  metrics.SetTrainSlot(0, "encoding", 0, 0, 0.5);
  metrics.SetTrainSlot(0, "training", 0.25, 3, 0.125);
  metrics.SetTrainSlot(1, "preparing", 0, 0, 0);
  metrics.ClearTrainSlot(1);
  EXPECT_THAT(Lines(metrics, "proad_train_phase{"),
              UnorderedElementsAre("proad_train_phase{phase=\"preparing\",slot=\"0\"} 0",
                                   "proad_train_phase{phase=\"encoding\",slot=\"0\"} 0",
                                   "proad_train_phase{phase=\"training\",slot=\"0\"} 1",
                                   "proad_train_phase{phase=\"evaluating\",slot=\"0\"} 0",
                                   "proad_train_phase{phase=\"publishing\",slot=\"0\"} 0"));
  EXPECT_THAT(Lines(metrics, "proad_train_progress_ratio{"),
              ElementsAre("proad_train_progress_ratio{slot=\"0\"} 0.125"));
}

TEST(Metrics, ShowsTheMemoryOfDevices) {
  Metrics metrics;
  metrics.SetDeviceMemory("cuda:0", "free", 17);
  metrics.SetDeviceMemory("cuda:0", "free", 5);
  metrics.SetDeviceMemory("cpu", "weights", 3);
  EXPECT_THAT(Lines(metrics, "proad_device_memory_bytes{"),
              ::testing::UnorderedElementsAre(
                  "proad_device_memory_bytes{device=\"cpu\",kind=\"weights\"} 3",
                  "proad_device_memory_bytes{device=\"cuda:0\",kind=\"free\"} 5"));
}

TEST(Metrics, RefreshesBeforeEveryScrape) {
  Metrics metrics;
  int scrapes = 0;
  metrics.AddRefresher([&] { metrics.queue_oldest_seconds.Set(++scrapes); });
  EXPECT_THAT(metrics.Serialize(), HasSubstr("proad_queue_oldest_seconds 1\n"));
  EXPECT_THAT(metrics.Serialize(), HasSubstr("proad_queue_oldest_seconds 2\n"));
}

TEST(Metrics, CountsTheSecondsOfEachWorker) {
  Metrics metrics;
  metrics.WorkerBusySeconds(1, "cuda:0").Increment(2.5);
  EXPECT_THAT(metrics.Serialize(),
              HasSubstr("proad_worker_busy_seconds_total{device=\"cuda:0\",worker=\"1\"} 2.5\n"));
}

TEST(Metrics, ShowsTheProcess) {
  Metrics metrics;
  for (const char* name : {"process_resident_memory_bytes ", "process_virtual_memory_bytes ",
                           "process_cpu_seconds_total ", "process_open_fds ", "process_max_fds ",
                           "process_threads ", "process_start_time_seconds "}) {
    const std::vector<std::string> lines = Lines(metrics, name);
    ASSERT_EQ(lines.size(), 1u) << name;
    EXPECT_THAT(lines, Each(AllOf(Not(HasSubstr(" -")), Not(HasSubstr(" nan"))))) << name;
  }
  double resident = 0;
  const std::string line = Lines(metrics, "process_resident_memory_bytes ")[0];
  ASSERT_EQ(std::sscanf(line.c_str(), "process_resident_memory_bytes %lf", &resident), 1);
  EXPECT_GT(resident, 1 << 20);
}

TEST(Metrics, MayBeCountedAndScrapedFromManyThreads) {
  Metrics metrics;
  RpcMetrics detect(metrics, "Detect");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        detect.Answered(absl::StatusCode::kOk, absl::Milliseconds(i));
        metrics.CountVerdict(absl::StrCat("c", t), false, VerdictLabel::kNormal, 0.1, std::nullopt);
        if (i % 50 == 0) metrics.Serialize();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(metrics.Serialize(),
              HasSubstr("proad_requests_total{code=\"OK\",rpc=\"Detect\"} 800\n"));
}

}  // namespace
}  // namespace proad::server
