// Options by name. One table binds dotted keys to the members that they set; a YAML file, the
// overrides of the command line and the printed configuration all use it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace proad::server {

// One key and the member that it sets. The member must outlive the option. Not thread-safe.
class Option {
 public:
  // Any text.
  static Option Text(std::string key, std::string& target);
  // `optional`: "" as well.
  static Option Path(std::string key, std::filesystem::path& target, bool optional = false);
  // "HOST:PORT" or "[IPV6]:PORT"; port 0 picks a free one. `optional`: "" as well.
  static Option Address(std::string key, std::string& target, bool optional = false);
  // true or false.
  static Option Switch(std::string key, bool& target);
  // "250ms", "2s", "1m30s".
  static Option Time(std::string key, absl::Duration& target, absl::Duration min,
                     absl::Duration max);
  template <typename T>
  static Option Integer(std::string key, T& target, int64_t min, int64_t max) {
    return Number<T>(std::move(key), target, min, max, /*bytes=*/false);
  }
  // A number of bytes, or "64KiB", "32MiB", "1GiB".
  template <typename T>
  static Option Bytes(std::string key, T& target, int64_t min, int64_t max) {
    return Number<T>(std::move(key), target, min, max, /*bytes=*/true);
  }
  // One of the given words.
  template <typename T>
  static Option Choice(std::string key, T& target, std::vector<std::pair<std::string, T>> choices);

  // Dotted: "batching.max_delay".
  const std::string& key() const { return key_; }
  // The allowed values, for messages: "an integer from 1 to 64".
  const std::string& expected() const { return expected_; }
  // The current value in the form that Set reads.
  std::string Get() const { return get_(); }
  // Sets the member. INVALID_ARGUMENT names the key, the text and the allowed values; the member is
  // then unchanged.
  absl::Status Set(absl::string_view text) const;

 private:
  Option(std::string key, std::string expected, std::function<std::string()> get,
         std::function<bool(absl::string_view)> set)
      : key_(std::move(key)),
        expected_(std::move(expected)),
        get_(std::move(get)),
        set_(std::move(set)) {}

  template <typename T>
  static Option Number(std::string key, T& target, int64_t min, int64_t max, bool bytes) {
    return MakeNumber(
        std::move(key), min, max, bytes, [&target] { return static_cast<int64_t>(target); },
        [&target](int64_t value) { target = static_cast<T>(value); });
  }
  static Option MakeNumber(std::string key, int64_t min, int64_t max, bool bytes,
                           std::function<int64_t()> get, std::function<void(int64_t)> set);

  std::string key_;
  std::string expected_;
  std::function<std::string()> get_;
  std::function<bool(absl::string_view)> set_;
};

// Sets `options` from YAML: nested mappings whose paths are the keys. INVALID_ARGUMENT for syntax
// errors, unknown keys, keys that are given twice and bad values; the message has one line for
// each, which starts with "source:line: " and names the allowed values. `lines`, if not null,
// receives the line of every key that was found.
absl::Status SetFromYaml(const std::string& yaml, const std::string& source,
                         const std::vector<Option>& options,
                         std::map<std::string, int>* lines = nullptr);

// Like SetFromYaml for the options of one section; the document's other sections are not read.
absl::Status SetSectionFromYaml(const std::string& yaml, const std::string& source,
                                const std::string& section, const std::vector<Option>& options);

// The current values as YAML that SetFromYaml reads.
std::string ToYaml(const std::vector<Option>& options);

template <typename T>
Option Option::Choice(std::string key, T& target, std::vector<std::pair<std::string, T>> choices) {
  std::string expected = "one of";
  const char* separator = " ";
  for (const auto& [name, value] : choices) {
    absl::StrAppend(&expected, separator, name);
    separator = ", ";
  }
  const auto get = [&target, choices] {
    for (const auto& [name, value] : choices) {
      if (value == target) return name;
    }
    return std::string();
  };
  const auto set = [&target, choices](absl::string_view text) {
    for (const auto& [name, value] : choices) {
      if (name == text) {
        target = value;
        return true;
      }
    }
    return false;
  };
  return Option(std::move(key), std::move(expected), get, set);
}

}  // namespace proad::server
