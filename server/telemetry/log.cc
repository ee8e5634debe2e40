#include "server/telemetry/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdint>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace proad::server {
namespace {

constexpr size_t kMaxValueBytes = 512;

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::info;
}

spdlog::logger& Logger() {
  static spdlog::logger* const logger = [] {
    auto* made = new spdlog::logger("proad", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%v");
    made->set_level(spdlog::level::info);
    made->flush_on(spdlog::level::trace);
    return made;
  }();
  return *logger;
}

// Length in bytes of the printable UTF-8 character beyond ASCII at the start of `text`. 0 if it is
// malformed, overlong, a surrogate, a C1 control, or a character that ends a line or changes the
// direction of text.
size_t PrintableUtf8(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  const size_t length = first >= 0xF0 && first <= 0xF4   ? 4
                        : first >= 0xE0 && first <= 0xEF ? 3
                        : first >= 0xC2 && first <= 0xDF ? 2
                                                         : 0;
  if (length == 0 || text.size() < length) return 0;
  uint32_t code = first & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3F);
  }
  if (length == 3 && code < 0x800) return 0;
  if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) return 0;
  if (code >= 0xD800 && code <= 0xDFFF) return 0;
  if (code < 0xA0) return 0;
  if ((code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069)) return 0;
  return length;
}

bool IsBare(char c) {
  return absl::ascii_isalnum(c) ||
         absl::string_view("._-:/@+,%").find(c) != absl::string_view::npos;
}

}  // namespace

absl::string_view NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      return "off";
  }
  return "unknown";
}

const std::vector<LogLevel>& AllLogLevels() {
  static const auto* const levels = new std::vector<LogLevel>{
      LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff};
  return *levels;
}

void SetLogLevel(LogLevel level) { Logger().set_level(ToSpdlog(level)); }

bool LogEnabled(LogLevel level) { return Logger().should_log(ToSpdlog(level)); }

void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  Logger().log(ToSpdlog(level),
               FormatLogLine(absl::Now(), level, message, fields.begin(), fields.size()));
}

void Log(LogLevel level, absl::string_view message, const std::vector<LogField>& fields) {
  if (!LogEnabled(level)) return;
  Logger().log(ToSpdlog(level),
               FormatLogLine(absl::Now(), level, message, fields.data(), fields.size()));
}

std::string FormatLogLine(absl::Time time, LogLevel level, absl::string_view message,
                          const LogField* fields, size_t count) {
  std::string line =
      absl::StrCat("time=", absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone()),
                   " level=", NameOf(level), " msg=", EscapeLogValue(message));
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&line, " ", fields[i].key, "=", EscapeLogValue(fields[i].value));
  }
  return line;
}

std::string EscapeLogValue(absl::string_view value) {
  const bool cut = value.size() > kMaxValueBytes;
  absl::string_view rest = value.substr(0, kMaxValueBytes);
  std::string out;
  bool bare = !rest.empty();
  while (!rest.empty()) {
    const char c = rest.front();
    size_t length = 1;
    if (c == '"' || c == '\\') {
      absl::StrAppend(&out, "\\", rest.substr(0, 1));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (absl::ascii_isprint(c)) {
      out += c;
    } else if (length = PrintableUtf8(rest); length > 0) {
      absl::StrAppend(&out, rest.substr(0, length));
    } else {
      length = 1;
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint8_t>(c));
    }
    bare = bare && IsBare(c);
    rest.remove_prefix(length);
  }
  if (cut) out += "...";
  return bare ? out : absl::StrCat("\"", out, "\"");
}

}  // namespace proad::server
