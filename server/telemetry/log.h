// The log of the server: one line per event on standard error, in logfmt:
//
//   time=2026-03-01T09:30:00.123Z level=info msg="model loaded" model=pcb version=3 seconds=1.52
//
// Some values come from clients (labels, categories, file names). All values are escaped and
// shortened, so that a value cannot start a line, end a field or move the cursor of a terminal.
#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace proad::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

// "debug", "info", "warning", "error", "off".
absl::string_view NameOf(LogLevel level);
const std::vector<LogLevel>& AllLogLevels();

// A key in lower_snake_case, which is not escaped, and a value.
struct LogField {
  LogField(const char* k, absl::string_view v) : key(k), value(v) {}
  LogField(const char* k, std::string_view v) : key(k), value(v) {}
  LogField(const char* k, const std::string& v) : key(k), value(v) {}
  LogField(const char* k, const char* v) : key(k), value(v) {}
  LogField(const char* k, bool v) : key(k), value(v ? "true" : "false") {}
  LogField(const char* k, const absl::Status& v) : key(k), value(v.ToString()) {}
  // Written in seconds.
  LogField(const char* k, absl::Duration v)
      : key(k), value(absl::StrCat(absl::ToDoubleSeconds(v))) {}
  template <typename Number>
  requires((std::integral<Number> || std::floating_point<Number>)&&!std::same_as<Number, bool>)
      LogField(const char* k, Number v)
      : key(k), value(absl::StrCat(v)) {}

  std::string key;
  std::string value;
};

// Sets the least severe level that is written; kInfo before the first call. Thread-safe.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Writes a line. `message` is a constant text; variable data belong in fields. Thread-safe.
void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});
void Log(LogLevel level, absl::string_view message, const std::vector<LogField>& fields);

// The line that Log writes at `time`, without the newline.
std::string FormatLogLine(absl::Time time, LogLevel level, absl::string_view message,
                          const LogField* fields, size_t count);

// `value` in logfmt: bare if it is a plain word; otherwise in quotes, with ", \ and unprintable
// characters escaped (\n, \r, \t, \xNN). Printable UTF-8 is not escaped. Values of more than 512
// bytes are cut and end in "...".
std::string EscapeLogValue(absl::string_view value);

}  // namespace proad::server
