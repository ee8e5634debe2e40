#include "server/telemetry/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace proad::server {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string Format(absl::string_view message, const std::vector<LogField>& fields) {
  return FormatLogLine(absl::FromUnixMillis(1772357400123), LogLevel::kInfo, message, fields.data(),
                       fields.size());
}

TEST(Log, WritesTimeLevelMessageAndFields) {
  EXPECT_EQ(Format("model loaded", {{"model", "pcb"},
                                    {"version", 3},
                                    {"share", 0.25},
                                    {"warm", true},
                                    {"took", absl::Milliseconds(1500)},
                                    {"status", absl::NotFoundError("no such model")}}),
            "time=2026-03-01T09:30:00.123Z level=info msg=\"model loaded\" model=pcb version=3 "
            "share=0.25 warm=true took=1.5 status=\"NOT_FOUND: no such model\"");
}

TEST(Log, NamesEveryLevel) {
  for (const LogLevel level : AllLogLevels()) EXPECT_NE(NameOf(level), "unknown");
}

struct EscapeCase {
  const char* what;
  std::string value;
  std::string written;
};

class LogEscape : public ::testing::TestWithParam<EscapeCase> {};

TEST_P(LogEscape, WritesOneSafeValue) {
  EXPECT_EQ(EscapeLogValue(GetParam().value), GetParam().written);
}

INSTANTIATE_TEST_SUITE_P(
    Values, LogEscape,
    ::testing::Values(EscapeCase{"word", "pcb@12", "pcb@12"},
                      EscapeCase{"path", "/a/b-c_d.png", "/a/b-c_d.png"},
                      EscapeCase{"empty", "", "\"\""}, EscapeCase{"spaces", "a b", "\"a b\""},
                      EscapeCase{"field_forgery", "x level=error", "\"x level=error\""},
                      EscapeCase{"line_forgery", "x\ntime=2026 level=error",
                                 "\"x\\ntime=2026 level=error\""},
                      EscapeCase{"carriage_return", "a\r\tb", "\"a\\r\\tb\""},
                      EscapeCase{"quote", "a\"b\\c", "\"a\\\"b\\\\c\""},
                      EscapeCase{"terminal", "\x1b[2J", "\"\\x1b[2J\""},
                      EscapeCase{"nul", std::string("a\0b", 3), "\"a\\x00b\""},
                      EscapeCase{"utf8", "Gehäuse €𝄞", "\"Gehäuse €𝄞\""},
                      EscapeCase{"broken_utf8", "\xc3(\xff", "\"\\xc3(\\xff\""},
                      EscapeCase{"truncated_utf8", "\xe2\x82", "\"\\xe2\\x82\""},
                      EscapeCase{"overlong_newline", "\xc0\x8a", "\"\\xc0\\x8a\""},
                      EscapeCase{"c1_next_line", "\xc2\x85", "\"\\xc2\\x85\""},
                      EscapeCase{"line_separator", "\xe2\x80\xa8", "\"\\xe2\\x80\\xa8\""},
                      EscapeCase{"right_to_left", "\xe2\x80\xae", "\"\\xe2\\x80\\xae\""},
                      EscapeCase{"surrogate", "\xed\xa0\x80", "\"\\xed\\xa0\\x80\""}),
    [](const auto& test) { return std::string(test.param.what); });

TEST(Log, CutsLongValues) {
  const std::string written = EscapeLogValue(std::string(100000, 'x'));
  EXPECT_EQ(written.size(), 512u + 3u);
  EXPECT_THAT(written, EndsWith("x..."));
}

// Only the fields of a line can vary, so no value whatever makes two lines of one.
TEST(Log, NoByteOfAValueEndsTheLine) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string line =
        Format("detected", {{"label", std::string(3, static_cast<char>(byte))}});
    EXPECT_THAT(line, Not(HasSubstr("\n"))) << byte;
    EXPECT_THAT(line, Not(HasSubstr("\r"))) << byte;
  }
}

TEST(Log, WritesLinesOfTheLevelAndAboveToStandardError) {
  SetLogLevel(LogLevel::kWarning);
  ::testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "quiet");
  Log(LogLevel::kWarning, "loud", {{"label", "{} %s {0}"}});
  const std::string written = ::testing::internal::GetCapturedStderr();
  SetLogLevel(LogLevel::kInfo);
  EXPECT_THAT(written, StartsWith("time="));
  EXPECT_THAT(written, EndsWith(" level=warning msg=loud label=\"{} %s {0}\"\n"));
  EXPECT_THAT(written, Not(HasSubstr("quiet")));
}

}  // namespace
}  // namespace proad::server
