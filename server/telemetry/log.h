// The server's log: one line an event on standard error, in logfmt:
//
//   time=2026-03-01T09:30:00.123Z level=info msg="model loaded" model=pcb version=3 seconds=1.52
//
// Values come from users too (labels, categories, file names): they are escaped and shortened, so
// that nothing that a client sends can start a line, end a field or move a terminal's cursor.
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

// A key in lower_snake_case, written as it is, and any value.
struct LogField {
  LogField(const char* k, absl::string_view v) : key(k), value(v) {}
  LogField(const char* k, std::string_view v) : key(k), value(v) {}
  LogField(const char* k, const std::string& v) : key(k), value(v) {}
  LogField(const char* k, const char* v) : key(k), value(v) {}
  LogField(const char* k, bool v) : key(k), value(v ? "true" : "false") {}
  LogField(const char* k, const absl::Status& v) : key(k), value(v.ToString()) {}
  // In seconds.
  LogField(const char* k, absl::Duration v)
      : key(k), value(absl::StrCat(absl::ToDoubleSeconds(v))) {}
  template <typename Number>
  requires((std::integral<Number> || std::floating_point<Number>)&&!std::same_as<Number, bool>)
      LogField(const char* k, Number v)
      : key(k), value(absl::StrCat(v)) {}

  std::string key;
  std::string value;
};

// Lines below `level` are not written. Any thread, any time; before the first call it is kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Writes a line. `message` is a fixed text, what varies goes into fields. Any thread.
void Log(LogLevel level, absl::string_view message, std::initializer_list<LogField> fields = {});
void Log(LogLevel level, absl::string_view message, const std::vector<LogField>& fields);

// The line that Log would write at `time`, without its end.
std::string FormatLogLine(absl::Time time, LogLevel level, absl::string_view message,
                          const LogField* fields, size_t count);

// `value` as logfmt writes it: bare when it is a plain word; otherwise in quotes with ", \ and
// everything that is not printable escaped (\n, \r, \t, \xNN). Valid UTF-8 stays readable. Longer
// values than 512 bytes are cut and end in "...".
std::string EscapeLogValue(absl::string_view value);

}  // namespace proad::server
