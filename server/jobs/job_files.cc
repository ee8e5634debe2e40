#include "server/jobs/job_files.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/files/atomic_file.h"
#include "server/util/exception_status.h"
#include "server/util/json_fields.h"
#include "server/util/reasons.h"
#include "server/util/status_details.h"

namespace proad::server {

// ---------------------------------------------------------------- names of values

template <>
struct EnumNames<JobState> {
  static constexpr std::array all = {JobState::kQueued, JobState::kRunning, JobState::kSucceeded,
                                     JobState::kFailed, JobState::kCancelled};
  static const char* Name(JobState value) { return NameOf(value); }
};

template <>
struct EnumNames<model::DatasetFormat> {
  using enum model::DatasetFormat;
  static constexpr std::array all = {kAuto, kMvtec, kVisa, kVisa1cls, kRealIad, kFolder, kCsv};
  static const char* Name(model::DatasetFormat value) { return model::NameOf(value); }
};

template <>
struct EnumNames<model::Precision> {
  using enum model::Precision;
  static constexpr std::array all = {kFp32, kTf32, kBf16};
  static const char* Name(model::Precision value) { return model::NameOf(value); }
};

template <>
struct EnumNames<model::PositionResize> {
  using enum model::PositionResize;
  static constexpr std::array all = {kOfficial, kLineage};
  static const char* Name(model::PositionResize value) { return model::NameOf(value); }
};

// ---------------------------------------------------------------- the fields, in the files' order

template <SameType<model::Recipe> Struct, typename Visit>
void Fields(Struct& recipe, Visit& visit) {
  visit("name", recipe.name);
  VisitFields(recipe, visit);
}

template <SameType<model::MetricMinimum> Struct, typename Visit>
void Fields(Struct& minimum, Visit& visit) {
  visit("metric", minimum.metric);
  visit("category", minimum.category);
  visit("minimum", minimum.minimum);
}

template <SameType<model::Gate> Struct, typename Visit>
void Fields(Struct& gate, Visit& visit) {
  visit("minimums", gate.minimums);
  visit("not_worse_than_active", gate.not_worse_than_active);
  visit("tolerance", gate.tolerance);
}

template <SameType<model::TrainSpec> Struct, typename Visit>
void Fields(Struct& spec, Visit& visit) {
  visit("model_name", spec.model_name);
  visit("dataset", spec.dataset);
  visit("dataset_format", spec.dataset_format);
  visit("categories", spec.categories);
  visit("preset", spec.preset);
  visit("recipe", spec.recipe);
  visit("encoder_file", spec.encoder_file);
  visit("init_from", spec.init_from);
  visit("device", spec.device);
  visit("validation_share", spec.validation_share);
  visit("false_reject_budget", spec.false_reject_budget);
  visit("skip_unreadable", spec.skip_unreadable);
  visit("world_size", spec.world_size);
  visit("gate", spec.gate);
  visit("active_version", spec.active_version);
}

template <SameType<JobSpec> Struct, typename Visit>
void Fields(Struct& spec, Visit& visit) {
  visit("train", spec.train);
  visit("dataset_path", spec.dataset_path);
  visit("dataset_id", spec.dataset_id);
  visit("encoder", spec.encoder);
  visit("init_from", spec.init_from);
  visit("activate_on_success", spec.activate_on_success);
  visit("labels", spec.labels);
  visit("request_digest", spec.request_digest);
  visit("id", spec.id);
}

template <SameType<model::Metric> Struct, typename Visit>
void Fields(Struct& metric, Visit& visit) {
  visit("name", metric.name);
  visit("category", metric.category);
  visit("value", metric.value);
  visit("images", metric.images);
}

template <SameType<model::ScoredSample> Struct, typename Visit>
void Fields(Struct& sample, Visit& visit) {
  visit("name", sample.name);
  visit("category", sample.category);
  visit("defect", sample.defect);
  visit("score", sample.score);
}

template <SameType<model::Evaluation> Struct, typename Visit>
void Fields(Struct& evaluation, Visit& visit) {
  visit("metrics", evaluation.metrics);
  visit("samples", evaluation.samples);
}

template <SameType<model::Calibration> Struct, typename Visit>
void Fields(Struct& calibration, Visit& visit) {
  visit("threshold", calibration.threshold);
  visit("false_reject_budget", calibration.false_reject_budget);
  visit("images", calibration.images);
}

template <SameType<model::GateVerdict> Struct, typename Visit>
void Fields(Struct& verdict, Visit& visit) {
  visit("passed", verdict.passed);
  visit("reason", verdict.reason);
}

template <SameType<model::TrainOutcome> Struct, typename Visit>
void Fields(Struct& outcome, Visit& visit) {
  visit("version", outcome.version);
  visit("hash", outcome.hash);
  visit("steps", outcome.steps);
  visit("final_loss", outcome.final_loss);
  visit("train_images", outcome.train_images);
  visit("evaluation", outcome.evaluation);
  visit("calibration", outcome.calibration);
  visit("gate", outcome.gate);
  visit("compared_with", outcome.compared_with);
  visit("compared_evaluation", outcome.compared_evaluation);
  visit("skipped", outcome.skipped);
  visit("data_fingerprint", outcome.data_fingerprint);
  visit("warnings", outcome.warnings);
}

template <SameType<Activation> Struct, typename Visit>
void Fields(Struct& activation, Visit& visit) {
  visit("activated", activation.activated);
  visit("reason", activation.reason);
}

template <SameType<JobRecord> Struct, typename Visit>
void Fields(Struct& record, Visit& visit) {
  visit("request_id", record.request_id);
  visit("state", record.state);
  visit("reason", record.reason);
  visit("reason_code", record.reason_code);
  visit("created", record.created);
  visit("queued", record.queued);
  visit("started", record.started);
  visit("ended", record.ended);
  visit("updated", record.updated);
  visit("attempts", record.attempts);
  visit("attempt_started", record.attempt_started);
  visit("ran", record.ran);
  visit("crashes", record.crashes);
  visit("crash_step", record.crash_step);
  visit("interrupted", record.interrupted);
  visit("outcome", record.outcome);
  visit("activation", record.activation);
}

template <SameType<JobError> Struct, typename Visit>
void Fields(Struct& error, Visit& visit) {
  visit("code", error.code);
  visit("field", error.field);
  visit("message", error.message);
}

// ---------------------------------------------------------------- files

namespace {

constexpr int kFormat = 1;  // of each of the files

// result.json has the score of each image of a dataset; these limits are far above any dataset.
constexpr model::JsonLimits kLimits = {.depth = 12, .array_length = 10'000'000};
constexpr size_t kMaxBytes = size_t{2} << 30;

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) throw model::FileError(path, "open", errno);
  const std::streamoff size = in.tellg();
  if (size < 0 || static_cast<size_t>(size) > kMaxBytes) {
    throw model::CorruptFile(path, "is not a regular file smaller than 2 GiB");
  }
  std::string text(static_cast<size_t>(size), '\0');
  in.seekg(0);
  if (!in.read(text.data(), size)) throw model::FileError(path, "read", errno == 0 ? EIO : errno);
  return text;
}

template <typename T>
absl::Status Write(const std::filesystem::path& path, const T& value, int indent) {
  try {
    JsonWriter writer;
    writer("format", kFormat);
    Fields(value, writer);
    model::AtomicFile file(path);
    try {
      file.Write(writer.Take().dump(indent) + "\n");
    } catch (const nlohmann::json::type_error&) {
      return absl::InvalidArgumentError(
          absl::StrCat(path.string(), ": a text in it would not be UTF-8"));
    }
    file.Commit();
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

template <typename T>
absl::StatusOr<T> Read(const std::filesystem::path& path) {
  try {
    const std::string source = path.string();
    const nlohmann::json json = model::ParseStrictJson(ReadText(path), source, kLimits);
    JsonReader reader(json, source);
    int format = 0;
    reader("format", format);
    // Checked first, since any other field may differ in another format.
    if (format != kFormat) {
      reader.Refuse("format", absl::StrCat("is ", format, "; this program reads format ", kFormat));
    }
    T value;
    Fields(value, reader);
    reader.Finish();
    return value;
  } catch (...) {
    return StatusOfCurrentException();
  }
}

constexpr int kReadable = 2;  // indent of files that people read
constexpr int kCompact = -1;

}  // namespace

std::filesystem::path JobDirectory(const std::filesystem::path& job) {
  const std::filesystem::path path = std::filesystem::absolute(job).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

absl::Status WriteSpec(const std::filesystem::path& job, const JobSpec& spec) {
  return Write(job / kSpecFile, spec, kReadable);
}
absl::StatusOr<JobSpec> ReadSpec(const std::filesystem::path& job) {
  return Read<JobSpec>(job / kSpecFile);
}

absl::Status CreateSpec(const std::filesystem::path& job, const JobSpec& spec) {
  const std::filesystem::path temporary =
      job / model::UniqueName(absl::StrCat(".", kSpecFile, ".tmp-"));
  if (absl::Status written = Write(temporary, spec, kReadable); !written.ok()) return written;
  const std::filesystem::path path = job / kSpecFile;
  // Unlike rename, link fails when the file exists, on network file systems too.
  const int error = link(temporary.c_str(), path.c_str()) == 0 ? 0 : errno;
  unlink(temporary.c_str());
  if (error == EEXIST) {
    return absl::AlreadyExistsError(absl::StrCat(path.string(), " exists already"));
  }
  if (error == EPERM || error == EOPNOTSUPP) return WriteSpec(job, spec);  // no hard links here
  try {
    if (error != 0) throw model::FileError(path, "create", error);
    model::FlushToDisk(job);
    return absl::OkStatus();
  } catch (...) {
    return StatusOfCurrentException();
  }
}

absl::Status WriteRecord(const std::filesystem::path& job, const JobRecord& record) {
  return Write(job / kStateFile, record, kReadable);
}
absl::StatusOr<JobRecord> ReadRecord(const std::filesystem::path& job) {
  return Read<JobRecord>(job / kStateFile);
}

absl::Status WriteOutcome(const std::filesystem::path& job, const model::TrainOutcome& outcome) {
  return Write(job / kResultFile, outcome, kCompact);
}
absl::StatusOr<model::TrainOutcome> ReadOutcome(const std::filesystem::path& job) {
  return Read<model::TrainOutcome>(job / kResultFile);
}

absl::Status WriteError(const std::filesystem::path& job, const JobError& error) {
  return Write(job / kErrorFile, error, kReadable);
}
absl::StatusOr<JobError> ReadError(const std::filesystem::path& job) {
  return Read<JobError>(job / kErrorFile);
}

absl::StatusOr<TrainerExit> ReadTrainerExit(const std::filesystem::path& job) {
  TrainerExit exit;
  absl::StatusOr<model::TrainOutcome> outcome = ReadOutcome(job);
  if (outcome.ok()) {
    DropScores(*outcome);
    exit.outcome = *std::move(outcome);
    return exit;
  }
  if (!absl::IsNotFound(outcome.status())) return outcome.status();
  absl::StatusOr<JobError> error = ReadError(job);
  if (error.ok()) {
    exit.error = *std::move(error);
  } else if (absl::IsDataLoss(error.status())) {
    exit.error = JobError{reason::kDataLoss, "", std::string(error.status().message())};
  } else if (!absl::IsNotFound(error.status())) {
    return error.status();
  }
  return exit;
}

void DropScores(model::TrainOutcome& outcome) {
  if (outcome.evaluation) outcome.evaluation->samples.clear();
  if (outcome.compared_evaluation) outcome.compared_evaluation->samples.clear();
}

}  // namespace proad::server
