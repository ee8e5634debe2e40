#include "server/jobs/job_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "server/util/status_details.h"
#include "tests/support/temp_directory.h"

namespace proad::server {
namespace {

using proad::testing::ReadText;
using proad::testing::TempDirectory;
using proad::testing::WriteText;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Values of every kind, the same ones for a seed.
class Any {
 public:
  explicit Any(uint64_t seed) : random_(seed) {}

  bool Bool() { return random_() % 2 == 0; }
  int64_t Int(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  uint64_t Word() { return random_(); }
  double Double() {
    while (true) {
      const double value = std::bit_cast<double>(random_());
      if (std::isfinite(value)) return value;
    }
  }
  std::string Text() {
    static const std::vector<std::string> kParts = {"a", "Z",  " ",    "\"",   "\\", "\n",   "/",
                                                    "ü", "学", "🙂", "\x01", "",   "null", "0"};
    std::string text;
    for (int64_t n = Int(0, 6); n > 0; --n) text += kParts[Word() % kParts.size()];
    return text;
  }
  absl::Time Time() {
    return Int(0, 9) == 0 ? absl::InfinitePast()
                          : absl::FromUnixNanos(Int(0, 4'000'000'000) * 1'000'000'007);
  }
  template <typename T>
  std::optional<T> Maybe(T value) {
    return Bool() ? std::optional<T>(value) : std::nullopt;
  }
  template <typename Make>
  auto Several(Make make) {
    std::vector<decltype(make())> values;
    for (int64_t n = Int(0, 3); n > 0; --n) values.push_back(make());
    return values;
  }

  model::Recipe Recipe() {
    model::Recipe recipe;
    recipe.name = Text();
    recipe.epochs = Int(std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
    recipe.steps = Int(0, 1000);
    recipe.batch_size = Int(0, 1000);
    recipe.learning_rate = Double();
    recipe.final_ratio = Double();
    recipe.warmup_epochs = Int(0, 9);
    recipe.warmup_steps = Int(0, 9);
    recipe.weight_decay = Double();
    recipe.gradient_clip = Double();
    recipe.dropout = Double();
    recipe.tau = Double();
    recipe.seed = Word();
    recipe.principal_start = Maybe(Bool());
    recipe.precision = static_cast<model::Precision>(Int(0, 2));
    recipe.position_resize = Maybe(static_cast<model::PositionResize>(Int(0, 1)));
    recipe.center_crop = Maybe(Bool());
    recipe.decoder_layers = Maybe(static_cast<int>(Int(1, 24)));
    recipe.input_side = Maybe(static_cast<int>(Int(28, 1400)));
    recipe.adaptive_noisy_bottleneck = Bool();
    recipe.dynamic_decoder = Bool();
    recipe.prototype_constraint = Bool();
    return recipe;
  }
  model::Gate Gate() {
    return {.minimums = Several([&] {
              return model::MetricMinimum{Text(), Text(), Double()};
            }),
            .not_worse_than_active = Bool(),
            .tolerance = Double()};
  }
  JobSpec Spec() {
    JobSpec spec;
    spec.train.model_name = Text();
    spec.train.dataset = Text();
    spec.train.dataset_format = static_cast<model::DatasetFormat>(Int(0, 6));
    spec.train.categories = Several([&] { return Text(); });
    spec.train.preset = Text();
    spec.train.recipe = Recipe();
    spec.train.encoder_file = Text();
    spec.train.init_from = Text();
    spec.train.device = Text();
    spec.train.validation_share = Double();
    spec.train.false_reject_budget = Double();
    spec.train.skip_unreadable = Bool();
    if (Bool()) spec.train.orientation = static_cast<model::Orientation>(Int(0, 1));
    if (Bool()) spec.train.bits = static_cast<int>(Int(0, 16));
    spec.train.world_size = static_cast<int>(Int(1, 64));
    spec.train.gate = Maybe(Gate());
    spec.train.active_version = Text();
    spec.dataset_path = Text();
    spec.dataset_id = Text();
    spec.encoder = Text();
    spec.init_from = Text();
    spec.activate_on_success = Bool();
    for (const std::string& key : Several([&] { return Text(); })) spec.labels[key] = Text();
    return spec;
  }
  model::Evaluation Evaluation() {
    return {.metrics = Several([&] {
              return model::Metric{Text(), Text(), Double(), Int(0, 99)};
            }),
            .samples = Several([&] {
              return model::ScoredSample{Text(), Text(), Text(), Double()};
            })};
  }
  model::TrainOutcome Outcome() {
    model::TrainOutcome outcome;
    outcome.version = Text();
    outcome.hash = Text();
    outcome.steps = Int(0, 1'000'000);
    outcome.final_loss = Double();
    outcome.train_images = Int(0, 1'000'000);
    outcome.evaluation = Maybe(Evaluation());
    for (const std::string& category : Several([&] { return Text(); })) {
      outcome.calibration[category] = {Double(), Double(), Int(0, 99)};
    }
    outcome.gate = Maybe(model::GateVerdict{Bool(), Text()});
    outcome.compared_with = Text();
    outcome.compared_evaluation = Maybe(Evaluation());
    outcome.skipped = Several([&] { return Text(); });
    outcome.data_fingerprint = Text();
    return outcome;
  }
  JobRecord Record() {
    JobRecord record;
    record.request_id = Text();
    record.state = static_cast<JobState>(Int(0, 4));
    record.reason = Text();
    record.reason_code = Text();
    record.created = Time();
    record.queued = Time();
    record.started = Time();
    record.ended = Time();
    record.updated = Time();
    record.attempts = static_cast<int>(Int(0, 99));
    record.attempt_started = Time();
    record.ran = absl::Nanoseconds(Int(0, 1'000'000'000'000'000));
    record.crashes = static_cast<int>(Int(0, 9));
    record.crash_step = Int(0, 99);
    record.interrupted = Bool();
    record.outcome = Maybe(Outcome());
    record.activation = Maybe(Activation{Bool(), Text()});
    return record;
  }

 private:
  std::mt19937_64 random_;
};

TEST(JobFiles, FilesReadBackExactly) {
  const TempDirectory job;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Any any(seed);
    const JobSpec spec = any.Spec();
    ASSERT_TRUE(WriteSpec(job.path(), spec).ok());
    const auto read_spec = ReadSpec(job.path());
    ASSERT_TRUE(read_spec.ok()) << read_spec.status();
    ASSERT_TRUE(*read_spec == spec) << ReadText(job / kSpecFile);

    const JobRecord record = any.Record();
    ASSERT_TRUE(WriteRecord(job.path(), record).ok());
    const auto read_record = ReadRecord(job.path());
    ASSERT_TRUE(read_record.ok()) << read_record.status();
    ASSERT_TRUE(*read_record == record) << ReadText(job / kStateFile);

    const model::TrainOutcome outcome = any.Outcome();
    ASSERT_TRUE(WriteOutcome(job.path(), outcome).ok());
    const auto read_outcome = ReadOutcome(job.path());
    ASSERT_TRUE(read_outcome.ok()) << read_outcome.status();
    ASSERT_TRUE(*read_outcome == outcome) << ReadText(job / kResultFile);

    const JobError error = {any.Text(), any.Text(), any.Text()};
    ASSERT_TRUE(WriteError(job.path(), error).ok());
    const auto read_error = ReadError(job.path());
    ASSERT_TRUE(read_error.ok()) << read_error.status();
    ASSERT_TRUE(*read_error == error);
  }
}

TEST(JobFiles, MissingFileIsNotFound) {
  const TempDirectory job;
  EXPECT_EQ(ReadSpec(job.path()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReadError(job.path()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadOutcome(job.path()).status().message()), HasSubstr(kResultFile));
}

TEST(JobFiles, TruncatedFileIsDataLossWithItsName) {
  const TempDirectory job;
  ASSERT_TRUE(WriteSpec(job.path(), Any(5).Spec()).ok());
  const std::string whole = ReadText(job / kSpecFile);
  ASSERT_EQ(whole.back(), '\n');
  for (size_t size = 0; size + 1 < whole.size(); ++size) {
    WriteText(job / kSpecFile, whole.substr(0, size));
    const auto read = ReadSpec(job.path());
    ASSERT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << size << read.status();
    ASSERT_THAT(std::string(read.status().message()), HasSubstr((job / kSpecFile).string()));
  }
}

struct Damage {
  const char* found;
  const char* replacement;
  const char* words;
};

TEST(JobFiles, DamagedFieldIsNamedByItsPath) {
  const TempDirectory job;
  ASSERT_TRUE(WriteSpec(job.path(), JobSpec()).ok());
  const std::string whole = ReadText(job / kSpecFile);
  const std::vector<Damage> kDamages = {
      {"\"format\": 1", "\"format\": 2", "format is 2; this program reads format 1"},
      {"\"batch_size\": 16", "\"batch_size\": 16.5",
       "\"train\".\"recipe\".\"batch_size\" must be a whole number"},
      {"\"batch_size\"", "\"batch_sise\"", "\"train\".\"recipe\".\"batch_size\" is missing"},
      {"\"dataset_id\": \"\"", "\"dataset_id\": 7", "\"dataset_id\" must be a string"},
      {"\"skip_unreadable\": false", "\"skip_unreadable\": 0", "must be true or false"},
      {"\"labels\": {}", "\"labels\": []", "\"labels\" must be an object"},
      {"\"labels\": {}", "\"labels\": {}, \"more\": 1", "\"more\" is not a key"},
      {"\"labels\": {}", "\"labels\": {}, \"labels\": {}", "occurs twice"},
      {"\"world_size\": 1", "\"world_size\": 99999999999", "\"world_size\" is out of range"},
      {"\"precision\": \"fp32\"", "\"precision\": \"fp8\"", "is \"fp8\", which this program does"},
  };
  for (const Damage& damage : kDamages) {
    const std::string damaged = absl::StrReplaceAll(whole, {{damage.found, damage.replacement}});
    ASSERT_NE(damaged, whole) << damage.found;
    WriteText(job / kSpecFile, damaged);
    const auto read = ReadSpec(job.path());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss) << damage.replacement;
    EXPECT_THAT(std::string(read.status().message()),
                AllOf(HasSubstr(kSpecFile), HasSubstr(damage.words)));
  }
}

TEST(JobFiles, ResultHoldsTheScoresOfALargeDataset) {
  const TempDirectory job;
  model::TrainOutcome outcome;
  outcome.version = "1";
  outcome.evaluation.emplace();
  for (int i = 0; i < 200'000; ++i) {
    outcome.evaluation->samples.push_back({absl::StrCat(i, ".png"), "pcb", "", i / 3.0});
  }
  outcome.compared_evaluation =
      model::Evaluation{.metrics = {}, .samples = {{"0.png", "pcb", "", 1}}};
  ASSERT_TRUE(WriteOutcome(job.path(), outcome).ok());
  auto read = ReadOutcome(job.path());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(*read == outcome);

  DropScores(*read);
  EXPECT_TRUE(read->evaluation->samples.empty() && read->compared_evaluation->samples.empty());
  EXPECT_EQ(read->version, "1");
}

TEST(JobFiles, ValuesWithoutJsonFormAreRefusedAndTheOldFileStays) {
  const TempDirectory job;
  ASSERT_TRUE(WriteError(job.path(), {"OLD", "", ""}).ok());
  EXPECT_EQ(WriteError(job.path(), {"NEW", "", "\xff"}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadError(job.path())->code, "OLD");

  model::TrainOutcome outcome;
  outcome.final_loss = std::nan("");
  const absl::Status status = WriteOutcome(job.path(), outcome);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("final_loss is not a finite number"));
  EXPECT_FALSE(std::filesystem::exists(job / kResultFile));
}

// Files of this process end after so many bytes, as on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~SmallDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

TEST(JobFiles, FullDiskIsReportedAndTheOldFileStays) {
  const TempDirectory job;
  JobRecord record;
  record.reason = "old";
  ASSERT_TRUE(WriteRecord(job.path(), record).ok());
  record.reason = std::string(100'000, 'n');
  absl::Status status;
  {
    const SmallDisk small(10'000);
    status = WriteRecord(job.path(), record);
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(GetDetails(status).reason, "DISK_FULL");
  EXPECT_THAT(std::string(status.message()), HasSubstr(kStateFile));
  EXPECT_EQ(ReadRecord(job.path())->reason, "old");
  for (const auto& entry : std::filesystem::directory_iterator(job.path())) {
    EXPECT_EQ(entry.path().filename(), kStateFile) << "half a file was left behind";
  }
}

}  // namespace
}  // namespace proad::server
