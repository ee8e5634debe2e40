#include "server/util/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace proad::server {
namespace {

using ::testing::HasSubstr;

enum class Colour { kRed, kBlue };

struct Settings {
  std::string listen = "127.0.0.1:1";
  std::string metrics = "127.0.0.1:2";
  std::filesystem::path store = "/a b";
  std::string title;
  int threads = 2;
  int64_t bytes = 32 << 20;
  bool eager = true;
  absl::Duration delay = absl::Milliseconds(5);
  Colour colour = Colour::kRed;
};

std::vector<Option> Bind(Settings& settings) {
  return {Option::Address("listen", settings.listen),
          Option::Address("metrics", settings.metrics, /*optional=*/true),
          Option::Path("store", settings.store),
          Option::Text("ui.title", settings.title),
          Option::Choice<Colour>("ui.colour", settings.colour,
                                 {{"red", Colour::kRed}, {"blue", Colour::kBlue}}),
          Option::Integer("batch.threads", settings.threads, 1, 64),
          Option::Bytes("batch.bytes", settings.bytes, 1 << 10, 1 << 30),
          Option::Switch("batch.eager", settings.eager),
          Option::Time("batch.delay", settings.delay, absl::ZeroDuration(), absl::Seconds(1))};
}

TEST(Options, ReadsOneSectionOfADocument) {
  Settings settings;
  const std::vector<Option> options = {
      Option::Bytes("batch.bytes", settings.bytes, 1 << 10, 1 << 30)};
  const auto read = [&](const std::string& yaml) {
    return SetSectionFromYaml(yaml, "x.yaml", "batch", options);
  };
  EXPECT_TRUE(read("other: {key: 1}\nbatch:\n  bytes: 64KiB\n").ok());
  EXPECT_EQ(settings.bytes, 65536);
  EXPECT_TRUE(read("other: {key: 1}\n").ok());
  EXPECT_TRUE(read("").ok());
  EXPECT_EQ(settings.bytes, 65536);
  EXPECT_THAT(std::string(read("other: 1\nbatch:\n  bytes: 7\n").message()),
              HasSubstr("x.yaml:3: batch.bytes"));
  EXPECT_THAT(std::string(read("batch: {bites: 7}\n").message()),
              HasSubstr("valid keys here: bytes"));
  EXPECT_THAT(std::string(read("batch: 3\n").message()), HasSubstr("is a section"));
  EXPECT_THAT(std::string(read("[").message()), HasSubstr("x.yaml:1"));
}

TEST(Options, ReadsEveryKind) {
  Settings settings;
  std::map<std::string, int> lines;
  ASSERT_TRUE(SetFromYaml("listen: '[::1]:8500'\n"
                          "metrics: ''\n"
                          "store: /srv/models\n"
                          "ui:\n"
                          "  title: \"a: b\"\n"
                          "  colour: blue\n"
                          "batch: {threads: 8, bytes: 64KiB, eager: false, delay: 1.5ms}\n",
                          "x.yaml", Bind(settings), &lines)
                  .ok());
  EXPECT_EQ(settings.listen, "[::1]:8500");
  EXPECT_EQ(settings.metrics, "");
  EXPECT_EQ(settings.store, "/srv/models");
  EXPECT_EQ(settings.title, "a: b");
  EXPECT_EQ(settings.colour, Colour::kBlue);
  EXPECT_EQ(settings.threads, 8);
  EXPECT_EQ(settings.bytes, 65536);
  EXPECT_FALSE(settings.eager);
  EXPECT_EQ(settings.delay, absl::Microseconds(1500));
  EXPECT_EQ(lines["ui.colour"], 6);
  EXPECT_EQ(lines["batch.delay"], 7);
}

TEST(Options, MissingKeysKeepTheirValues) {
  Settings settings;
  const std::string before = ToYaml(Bind(settings));
  for (const char* yaml : {"", "# nothing\n", "---\n", "batch:\n", "ui: {}\n"}) {
    EXPECT_TRUE(SetFromYaml(yaml, "x.yaml", Bind(settings)).ok()) << yaml;
  }
  EXPECT_EQ(ToYaml(Bind(settings)), before);
}

TEST(Options, ReadsWhatItWrites) {
  Settings settings;
  settings.title = "null";
  settings.colour = Colour::kBlue;
  settings.bytes = 3 << 10;
  settings.delay = absl::Microseconds(250);
  const std::string yaml = ToYaml(Bind(settings));
  EXPECT_THAT(yaml, HasSubstr("batch:\n  threads: 2\n  bytes: 3KiB\n  eager: true\n"));
  Settings read;
  const absl::Status status = SetFromYaml(yaml, "x.yaml", Bind(read));
  EXPECT_TRUE(status.ok()) << status << "\n" << yaml;
  EXPECT_EQ(ToYaml(Bind(read)), yaml);
  EXPECT_EQ(read.title, "null");
  EXPECT_EQ(read.store, "/a b");
}

struct BadYaml {
  const char* what;
  std::string yaml;
  std::string error;  // a whole line
};

class OptionsBadYaml : public ::testing::TestWithParam<BadYaml> {};

TEST_P(OptionsBadYaml, IsAnErrorWithLineAndAllowedValues) {
  Settings settings;
  const absl::Status status = SetFromYaml(GetParam().yaml, "dir/x.yaml", Bind(settings));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), GetParam().error);
}

INSTANTIATE_TEST_SUITE_P(
    Files, OptionsBadYaml,
    ::testing::Values(
        BadYaml{"unknown_key", "\n\nlissten: a\n",
                "dir/x.yaml:3: unknown key \"lissten\"; valid keys here: batch, listen, metrics, "
                "store, ui"},
        BadYaml{"unknown_key_in_section", "batch:\n  threads: 1\n  thread: 1\n",
                "dir/x.yaml:3: unknown key \"batch.thread\"; valid keys here: bytes, delay, eager, "
                "threads"},
        BadYaml{
            "dotted_key", "batch.threads: 1\n",
            "dir/x.yaml:1: unknown key \"batch.threads\"; valid keys here: batch, listen, metrics, "
            "store, ui"},
        BadYaml{"too_large", "batch:\n  threads: 65\n",
                "dir/x.yaml:2: batch.threads: \"65\" is not valid; expected an integer from 1 to "
                "64"},
        BadYaml{"too_small", "batch: {threads: 0}",
                "dir/x.yaml:1: batch.threads: \"0\" is not valid; expected an integer from 1 to "
                "64"},
        BadYaml{"not_a_number", "batch: {threads: four}",
                "dir/x.yaml:1: batch.threads: \"four\" is not valid; expected an integer from 1 "
                "to 64"},
        BadYaml{"fraction", "batch: {threads: 1.5}",
                "dir/x.yaml:1: batch.threads: \"1.5\" is not valid; expected an integer from 1 to "
                "64"},
        BadYaml{"overflow", "batch: {threads: 99999999999999999999}",
                "dir/x.yaml:1: batch.threads: \"99999999999999999999\" is not valid; expected an "
                "integer from 1 to 64"},
        BadYaml{"bytes_unit", "batch:\n  bytes: 32MB\n",
                "dir/x.yaml:2: batch.bytes: \"32MB\" is not valid; expected a number of bytes "
                "from 1KiB to 1GiB, for example 1048576, 64KiB or 32MiB"},
        BadYaml{"bytes_overflow", "batch: {bytes: 9223372036854775807GiB}",
                "dir/x.yaml:1: batch.bytes: \"9223372036854775807GiB\" is not valid; expected a "
                "number of bytes from 1KiB to 1GiB, for example 1048576, 64KiB or 32MiB"},
        BadYaml{"duration_without_unit", "batch: {delay: 5}",
                "dir/x.yaml:1: batch.delay: \"5\" is not valid; expected a duration from 0 to 1s, "
                "for example 250ms, 2s or 1m30s"},
        BadYaml{"duration_range", "batch: {delay: inf}",
                "dir/x.yaml:1: batch.delay: \"inf\" is not valid; expected a duration from 0 to "
                "1s, for example 250ms, 2s or 1m30s"},
        BadYaml{"switch_word", "batch: {eager: yes}",
                "dir/x.yaml:1: batch.eager: \"yes\" is not valid; expected one of true, false"},
        BadYaml{"choice", "ui:\n  colour: green\n",
                "dir/x.yaml:2: ui.colour: \"green\" is not valid; expected one of red, blue"},
        BadYaml{"address_without_port", "listen: localhost",
                "dir/x.yaml:1: listen: \"localhost\" is not valid; expected \"HOST:PORT\" or "
                "\"[IPV6]:PORT\" with a port from 0 (picks one) to 65535"},
        BadYaml{"address_port", "listen: localhost:65536",
                "dir/x.yaml:1: listen: \"localhost:65536\" is not valid; expected \"HOST:PORT\" "
                "or \"[IPV6]:PORT\" with a port from 0 (picks one) to 65535"},
        BadYaml{"no_value", "\nstore:\n",
                "dir/x.yaml:2: store: no value is given; expected a path"},
        BadYaml{"list", "store: [a, b]", "dir/x.yaml:1: store: a list is given; expected a path"},
        BadYaml{"section_for_value", "store:\n  a: b\n",
                "dir/x.yaml:1: store: a section is given; expected a path"},
        BadYaml{
            "value_for_section", "batch: 4",
            "dir/x.yaml:1: batch: is a section with the keys bytes, delay, eager, threads, not a "
            "value"},
        BadYaml{"twice", "store: /a\nlisten: a:1\nstore: /b\n",
                "dir/x.yaml:3: store: is given twice"},
        BadYaml{"not_a_mapping", "- a\n- b\n",
                "dir/x.yaml:1: expected keys with values, as in \"key: value\""},
        BadYaml{"two_documents", "store: /a\n---\nstore: /b\n",
                "dir/x.yaml:3: a second document; one is expected"},
        BadYaml{
            "all_at_once", "store: []\nfoo: 1\nbatch: {threads: 0}\n",
            "dir/x.yaml:1: store: a list is given; expected a path\n"
            "dir/x.yaml:2: unknown key \"foo\"; valid keys here: batch, listen, metrics, store, "
            "ui\n"
            "dir/x.yaml:3: batch.threads: \"0\" is not valid; expected an integer from 1 to "
            "64"}),
    [](const auto& test) { return std::string(test.param.what); });

TEST(Options, SyntaxErrorsNameTheLine) {
  Settings settings;
  const absl::Status status =
      SetFromYaml("store: /a\nbatch: {threads: 1\n", "x.yaml", Bind(settings));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              ::testing::MatchesRegex("x\\.yaml:[23]: not YAML: .+"));
}

TEST(Options, AnInvalidValueLeavesTheMemberUnchanged) {
  Settings settings;
  for (const Option& option : Bind(settings)) {
    if (option.key() == "batch.threads") {
      EXPECT_FALSE(option.Set("1000").ok());
      EXPECT_EQ(settings.threads, 2);
      EXPECT_TRUE(option.Set("64").ok());
      EXPECT_EQ(settings.threads, 64);
    }
  }
}

}  // namespace
}  // namespace proad::server
