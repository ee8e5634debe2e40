#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/config.h"
#include "server/util/image_keys.h"
#include "tests/support/paths.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::filesystem::path kExample =
    proad::testing::SourceFolder() / "deploy" / "proad-server.yaml";

std::string Printed(Config& config) { return ToYaml(ConfigOptions(config)); }

std::filesystem::path WriteFile(const std::string& text) {
  const std::filesystem::path path =
      std::filesystem::path(::testing::TempDir()) / "proad_server_config_test.yaml";
  std::ofstream(path) << text;
  return path;
}

TEST(ServerConfig, TheExampleHasEveryKeyWithItsDefault) {
  Config defaults, read;
  const absl::Status status = ReadConfigFile(kExample, read);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Printed(read), Printed(defaults));

  std::map<std::string, int> lines;
  std::ifstream in(kExample);
  const std::string yaml((std::istreambuf_iterator<char>(in)), {});
  ASSERT_TRUE(SetFromYaml(yaml, kExample, ConfigOptions(read), &lines).ok());
  for (const Option& option : ConfigOptions(defaults)) {
    EXPECT_TRUE(lines.contains(option.key())) << option.key() << " is not in " << kExample;
  }
}

TEST(ServerConfig, TheDefaultsAreValid) {
  Config config;
  EXPECT_TRUE(Validate(config).ok()) << Validate(config);
  for (const Option& option : ConfigOptions(config)) {
    EXPECT_TRUE(option.Set(option.Get()).ok()) << option.key() << " = " << option.Get();
  }
}

TEST(ServerConfig, EveryKeyReachesItsOwnMember) {
  constexpr char kRequireClientCertificate[] = "server.tls.require_client_certificate";
  // Another possible value for every key: one bound to the wrong member would show under another.
  const std::map<std::string, std::string> others = {{"log.level", "error"},
                                                     {"server.listen", "localhost:0"},
                                                     {"server.metrics_listen", "localhost:1"},
                                                     {"server.max_message_bytes", "40MiB"},
                                                     {"admission.max_output_bytes", "1GiB"},
                                                     {"detect.max_output_pixels", "9000000"},
                                                     {"server.max_calls_per_connection", "7"},
                                                     {"server.keepalive_time", "11s"},
                                                     {"server.keepalive_timeout", "12s"},
                                                     {"server.min_ping_interval", "13s"},
                                                     {"server.max_metadata_bytes", "2KiB"},
                                                     {"server.handshake_timeout", "33s"},
                                                     {"server.max_connection_idle", "34s"},
                                                     {"server.max_connection_age", "35s"},
                                                     {"server.max_connection_age_grace", "36s"},
                                                     {"server.max_memory", "1GiB"},
                                                     {"server.reflection", "false"},
                                                     {"server.tls.certificate", "/tls/a.pem"},
                                                     {"server.tls.key", "/tls/a.key"},
                                                     {"server.tls.client_ca", "/tls/ca.pem"},
                                                     {kRequireClientCertificate, "false"},
                                                     {"auth.tokens", "/tokens"},
                                                     {"auth.allow_plaintext", "true"},
                                                     {"models.store", "/elsewhere"},
                                                     {"models.memory_reserve", "64MiB"},
                                                     {"models.follow_interval", "37s"},
                                                     {"models.default", "pcb"},
                                                     {"models.device", "cpu"},
                                                     {"models.torch_threads", "3"},
                                                     {"image.max_bytes", "1MiB"},
                                                     {"image.max_pixels", "1000"},
                                                     {"image.max_side", "100"},
                                                     {"image.orientation", "apply"},
                                                     {"image.bits", "12"},
                                                     {"admission.max_images", "9"},
                                                     {"admission.max_bytes", "10MiB"},
                                                     {"preprocessing.threads", "5"},
                                                     {"preprocessing.max_bytes", "100MiB"},
                                                     {"batching.max_batch", "6"},
                                                     {"batching.max_delay", "14ms"},
                                                     {"batching.take_when_idle", "false"},
                                                     {"batching.adaptive_delay", "false"},
                                                     {"batching.max_waiting", "17"},
                                                     {"batching.workers", "2"},
                                                     {"batching.hang_timeout", "7s"},
                                                     {"detect.default_deadline", "15s"},
                                                     {"detect.stream_window", "18"},
                                                     {"training.enabled", "false"},
                                                     {"training.data_root", "/data"},
                                                     {"training.jobs", "/jobs"},
                                                     {"training.encoders", "/encoders"},
                                                     {"training.trainer", "/bin/trainer"},
                                                     {"training.concurrency", "2"},
                                                     {"training.max_queued", "22"},
                                                     {"training.max_watchers", "23"},
                                                     {"training.nice", "4"},
                                                     {"training.threads", "8"},
                                                     {"training.feature_memory", "3GiB"},
                                                     {"training.memory_limit", "4GiB"},
                                                     {"training.checkpoint_interval", "26s"},
                                                     {"training.max_crashes", "24"},
                                                     {"training.keep_ended", "25h"},
                                                     {"training.max_ended", "27"},
                                                     {"training.checkpoint_on_stop", "false"},
                                                     {"training.checkpoint_grace", "28s"},
                                                     {"training.uploads.datasets", "/uploads"},
                                                     {"training.uploads.max_files", "29"},
                                                     {"training.uploads.max_file_bytes", "2MiB"},
                                                     {"training.uploads.max_dataset_bytes", "4GiB"},
                                                     {"training.uploads.min_free_bytes", "5GiB"},
                                                     {"training.uploads.max_uploads", "31"},
                                                     {"training.uploads.keep_unused", "32h"},
                                                     {"shutdown.lame_duck", "19s"},
                                                     {"shutdown.drain_grace", "21s"}};
  std::set<std::string> keys;
  for (const auto& [key, value] : others) {
    Config config, untouched;
    ASSERT_TRUE(SetOption(config, key, value).ok()) << key;
    const std::vector<Option> before = ConfigOptions(untouched), after = ConfigOptions(config);
    for (size_t i = 0; i < before.size(); ++i) {
      keys.insert(before[i].key());
      EXPECT_EQ(after[i].Get(), before[i].key() == key ? value : before[i].Get())
          << before[i].key() << " after " << key;
    }
  }
  EXPECT_EQ(keys.size(), others.size()) << "a key is missing from this test";
}

TEST(ServerConfig, ErrorsOfAFileNamePathLineKeyAndRange) {
  const auto path = WriteFile("batching:\n  max_batch: -1\n  max_bach: 4\n");
  Config config;
  const absl::Status status = ReadConfigFile(path, config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()),
            absl::StrCat(path.string(),
                         ":2: batching.max_batch: \"-1\" is not valid; expected an integer from 0 "
                         "to 256\n",
                         path.string(),
                         ":3: unknown key \"batching.max_bach\"; valid keys here: adaptive_delay, "
                         "hang_timeout, max_batch, "
                         "max_delay, max_waiting, take_when_idle, workers"));
}

TEST(ResolveTest, TheDeviceDecidesTheSizeOfBatchesUnlessTheConfigurationDoes) {
  Config config;
  EXPECT_EQ(Resolve(config, {.device = "cpu"}).values.batching.batch.max_batch, 4u);
  EXPECT_EQ(Resolve(config, {.device = "cuda:0"}).values.batching.batch.max_batch, 8u);
  ASSERT_TRUE(SetOption(config, "batching.max_batch", "16").ok());
  EXPECT_EQ(Resolve(config, {.device = "cpu"}).values.batching.batch.max_batch, 16u);
}

TEST(ResolveTest, TheCoresDecideTheNumberOfThreadsUnlessTheConfigurationDoes) {
  Config config;
  const Config on_cpu = Resolve(config, {.device = "cpu", .cores = 5}).values;
  EXPECT_EQ(on_cpu.workers.workers, 5);
  EXPECT_EQ(on_cpu.admission.at_once, 5);
  EXPECT_EQ(on_cpu.preprocessing_threads, 5);
  const Config on_gpu = Resolve(config, {.device = "cuda:0", .cores = 5}).values;
  EXPECT_EQ(on_gpu.workers.workers, 1);
  EXPECT_EQ(on_gpu.preprocessing_threads, 5);
  ASSERT_TRUE(SetOption(config, "batching.workers", "3").ok());
  ASSERT_TRUE(SetOption(config, "preprocessing.threads", "7").ok());
  const Config given = Resolve(config, {.device = "cuda:0", .cores = 5}).values;
  EXPECT_EQ(given.workers.workers, 3);
  EXPECT_EQ(given.admission.at_once, 3);
  EXPECT_EQ(given.preprocessing_threads, 7);
}

TEST(ResolveTest, TheMemoryLimitsTheBytesOfPixelsUnlessTheConfigurationDoes) {
  Config config;
  EXPECT_EQ(Resolve(config, {.memory = uint64_t{3} << 30}).values.detector.pixel_bytes, 384 << 20);
  EXPECT_EQ(Resolve(config, {}).values.detector.pixel_bytes, 512 << 20) << "nothing is known";
  ASSERT_TRUE(SetOption(config, "preprocessing.max_bytes", "100MiB").ok());
  EXPECT_EQ(Resolve(config, {.memory = uint64_t{3} << 30}).values.detector.pixel_bytes, 100 << 20);
}

TEST(ResolveTest, AResolvedConfigurationStaysAsItIs) {
  Config once = Resolve(Config(), {.device = "cpu", .cores = 5, .memory = 1u << 30}).values;
  Config twice = Resolve(once, {.device = "cuda:0", .cores = 64, .memory = 64u << 30}).values;
  EXPECT_EQ(Printed(twice), Printed(once));
}

TEST(ServerConfig, AMissingFileIsNamed) {
  Config config;
  const absl::Status status = ReadConfigFile("/no/such/file.yaml", config);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("/no/such/file.yaml"), HasSubstr("No such file")));
  EXPECT_THAT(std::string(ReadConfigFile("/", config).message()), HasSubstr("is a directory"));
}

TEST(ServerConfig, AFileOverOneMebibyteIsNotRead) {
  Config config;
  EXPECT_THAT(std::string(ReadConfigFile(WriteFile(std::string(2 << 20, ' ')), config).message()),
              HasSubstr("larger than 1 MiB"));
}

TEST(ServerConfig, SetOptionNamesTheValidKeys) {
  Config config;
  EXPECT_THAT(std::string(SetOption(config, "server.port", "1").message()),
              AllOf(HasSubstr("\"server.port\""), HasSubstr("server.listen")));
  EXPECT_THAT(std::string(SetOption(config, "server.listen", "1").message()),
              AllOf(HasSubstr("server.listen"), HasSubstr("\"1\""), HasSubstr("HOST:PORT")));
}

TEST(ServerConfig, ContradictionsNameBothKeys) {
  Config config;
  ASSERT_TRUE(SetOption(config, "image.max_bytes", "600MiB").ok());
  ASSERT_TRUE(SetOption(config, "models.default", "pcb@3").ok());
  ASSERT_TRUE(SetOption(config, "training.uploads.max_file_bytes", "65GiB").ok());
  const absl::Status status = Validate(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("server.max_message_bytes"), HasSubstr("admission.max_bytes"),
                    HasSubstr("image.max_bytes"), HasSubstr("models.default: \"pcb@3\""),
                    HasSubstr("training.uploads.max_dataset_bytes"),
                    HasSubstr("training.uploads.max_file_bytes (69793218560)")));
}

TEST(ServerConfig, TheLargestAnswerFitsTheOutputBudget) {
  Config config;
  EXPECT_TRUE(Validate(config).ok()) << Validate(config);
  ASSERT_TRUE(SetOption(config, "detect.max_output_pixels", "50000000").ok());
  EXPECT_THAT(
      std::string(Validate(config).message()),
      AllOf(HasSubstr("admission.max_output_bytes: 268435456"),
            HasSubstr("detect.max_output_pixels (50000000)"), HasSubstr("expected at least")));
  ASSERT_TRUE(SetOption(config, "admission.max_output_bytes", "429MiB").ok());
  EXPECT_TRUE(Validate(config).ok()) << Validate(config);
}

TEST(ServerConfig, ACertificateAndItsKeyGoTogether) {
  Config certificate_only, key_only, ca_only, whole;
  certificate_only.tls.certificate = "/tls/a.pem";
  EXPECT_THAT(std::string(Validate(certificate_only).message()),
              HasSubstr("server.tls.key: is not given"));
  key_only.tls.key = "/tls/a.key";
  EXPECT_THAT(std::string(Validate(key_only).message()),
              HasSubstr("server.tls.certificate: is not given"));
  ca_only.tls.client_ca = "/tls/ca.pem";
  EXPECT_THAT(std::string(Validate(ca_only).message()), HasSubstr("server.tls.client_ca: "));
  whole.tls = {.certificate = "/a.pem", .key = "/a.key", .client_ca = "/ca.pem"};
  EXPECT_TRUE(Validate(whole).ok()) << Validate(whole);
}

TEST(ServerConfig, TokensNeedTlsExceptOnLoopbackOrWithAllowPlaintext) {
  Config config;
  config.auth.tokens = "/tokens";
  for (const char* here : {"127.0.0.1:0", "127.9.9.9:1", "localhost:1", "[::1]:1"}) {
    config.endpoint.listen = here;
    EXPECT_TRUE(Validate(config).ok()) << Validate(config);
  }
  for (const char* anywhere :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "inspect:1", "127.0.0.1.example:1", "1270.0.0.1:1"}) {
    config.endpoint.listen = anywhere;
    EXPECT_THAT(
        std::string(Validate(config).message()),
        AllOf(HasSubstr("auth.tokens: "), HasSubstr(anywhere), HasSubstr("auth.allow_plaintext")));
  }
  config.auth.allow_plaintext = true;
  EXPECT_TRUE(Validate(config).ok());
  config.auth.allow_plaintext = false;
  config.tls = {.certificate = "/a.pem", .key = "/a.key", .client_ca = {}};
  EXPECT_TRUE(Validate(config).ok());
}

TEST(ServerConfig, EmptyFoldersOfTrainingAreBesideTheStore) {
  for (const char* store : {"/srv/proad/models", "/srv/proad/models/", "/srv/x/../proad/models"}) {
    Config config;
    ASSERT_TRUE(SetOption(config, "models.store", store).ok());
    ASSERT_TRUE(SetOption(config, "training.encoders", "/weights").ok());
    ASSERT_TRUE(SetOption(config, "image.max_side", "123").ok());
    config = Resolve(config, {}).values;
    EXPECT_EQ(config.training.jobs.jobs, "/srv/proad/jobs") << store;
    EXPECT_EQ(config.training.datasets.root, "/srv/proad/datasets") << store;
    EXPECT_EQ(config.training.encoders, "/weights") << store;
    EXPECT_EQ(config.training.jobs.store, store);
    EXPECT_EQ(config.training.jobs.image.max_side, 123) << "a job reads what Detect reads";
    EXPECT_EQ(config.training.datasets.image.max_side, 123);
    EXPECT_EQ(config.training.data_root, "") << "nothing is open to jobs unless it is named";
  }
}

// Commands that read images take their limits from the configuration of a server.
TEST(ServerConfig, CommandsReadTheKeysOfImages) {
  const auto path = WriteFile("models: {store: /srv}\nimage: {max_bytes: 64MiB, max_side: 123}\n");
  model::ImageLimits limits;
  ASSERT_TRUE(ReadImageKeys(path, limits).ok());
  EXPECT_EQ(limits, (model::ImageLimits{.max_bytes = 64 << 20, .max_side = 123}));
  EXPECT_THAT(std::string(ReadImageKeys("/gone.yaml", limits).message()), HasSubstr("/gone.yaml"));
}

TEST(ServerConfig, JobsReadImagesAsTheServerDoes) {
  Config config;
  EXPECT_EQ(Resolve(config, {}).values.training.reading, model::ImageReading{});
  ASSERT_TRUE(SetOption(config, "image.orientation", "apply").ok());
  ASSERT_TRUE(SetOption(config, "image.bits", "12").ok());
  EXPECT_EQ(Resolve(config, {}).values.training.reading,
            (model::ImageReading{.orientation = model::Orientation::kApply, .bits = 12}));
  EXPECT_FALSE(SetOption(config, "image.bits", "11").ok());
  EXPECT_FALSE(SetOption(config, "image.orientation", "turn").ok());
}

TEST(ServerConfig, AnEmptyTrainerIsBesideTheProgram) {
  Config config = Resolve(Config(), {}).values;
  EXPECT_EQ(config.training.jobs.trainer,
            std::filesystem::read_symlink("/proc/self/exe").parent_path() / "proad-trainer");
  config.training.jobs.trainer = "/opt/trainer";
  config = Resolve(config, {}).values;
  EXPECT_EQ(config.training.jobs.trainer, "/opt/trainer");
}

TEST(ServerConfig, InstalledEncodersAreInTheShareFolderOfTheInstallation) {
  const Config config = Resolve(Config(), {}).values;
  const std::filesystem::path programs =
      std::filesystem::read_symlink("/proc/self/exe").parent_path();
  EXPECT_EQ(config.training.installed_encoders, programs.parent_path() / "share/proad/weights");
}

}  // namespace
}  // namespace proad::server
