#include "server/util/options.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "server/util/quote.h"

namespace proad::server {
namespace {

struct Unit {
  const char* suffix;
  int64_t bytes;
};
constexpr Unit kUnits[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};

std::string FormatBytes(int64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (bytes != 0 && bytes % unit.bytes == 0) return absl::StrCat(bytes / unit.bytes, unit.suffix);
  }
  return absl::StrCat(bytes);
}

bool ParseBytes(absl::string_view text, int64_t& bytes) {
  int64_t factor = 1;
  for (const Unit& unit : kUnits) {
    if (absl::ConsumeSuffix(&text, unit.suffix)) {
      factor = unit.bytes;
      break;
    }
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(text, &count)) return false;
  return !__builtin_mul_overflow(count, factor, &bytes);
}

bool IsAddress(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return false;
  const absl::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  const bool ipv6 = host.front() == '[' && host.back() == ']';
  if (!ipv6 && host.find(':') != absl::string_view::npos) return false;
  if (std::any_of(host.begin(), host.end(), absl::ascii_isspace)) return false;
  int number = -1;
  return !port.empty() && std::all_of(port.begin(), port.end(), absl::ascii_isdigit) &&
         absl::SimpleAtoi(port, &number) && number <= 65535;
}

std::string YamlScalar(const std::string& text) {
  const bool plain = !text.empty() && text != "null" && text != "~" &&
                     std::all_of(text.begin(), text.end(), [](char c) {
                       return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '/';
                     });
  if (plain) return text;
  YAML::Emitter emitter;
  emitter << YAML::DoubleQuoted << text;
  return emitter.c_str();
}

// Walks a document and sets what it finds.
class YamlReader {
 public:
  YamlReader(const std::string& source, const std::vector<Option>& options,
             std::map<std::string, int>* lines)
      : source_(source), lines_(lines) {
    for (const Option& option : options) {
      options_.emplace(option.key(), &option);
      // Every proper prefix is a section.
      for (size_t dot = option.key().find('.'); dot != std::string::npos;
           dot = option.key().find('.', dot + 1)) {
        sections_.insert(option.key().substr(0, dot));
      }
    }
  }

  void ReadSection(const YAML::Node& section, const std::string& prefix) {
    std::set<std::string> seen;
    for (const auto& entry : section) {
      if (!entry.first.IsScalar()) {
        AddError(entry.first, "a key must be a plain word");
        continue;
      }
      const std::string name = entry.first.Scalar();
      const std::string key = prefix.empty() ? name : absl::StrCat(prefix, ".", name);
      if (!seen.insert(name).second) {
        AddError(entry.first, absl::StrCat(key, ": is given twice"));
      } else if (const auto option = options_.find(key);
                 option != options_.end() && name.find('.') == std::string::npos) {
        ReadValue(entry.first, entry.second, *option->second);
      } else if (!sections_.contains(key) || name.find('.') != std::string::npos) {
        AddError(entry.first, absl::StrCat("unknown key ", Quote(key), "; valid keys here: ",
                                           absl::StrJoin(KeysIn(prefix), ", ")));
      } else if (entry.second.IsMap()) {
        ReadSection(entry.second, key);
      } else if (!entry.second.IsNull()) {
        AddError(entry.first, absl::StrCat(key, ": is a section with the keys ",
                                           absl::StrJoin(KeysIn(key), ", "), ", not a value"));
      }
    }
  }

  void AddError(const YAML::Mark& mark, absl::string_view message) {
    errors_.push_back(
        absl::StrCat(source_, ":", mark.is_null() ? 1 : mark.line + 1, ": ", message));
  }

  absl::Status status() const {
    if (errors_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
  }

 private:
  void AddError(const YAML::Node& node, absl::string_view message) {
    AddError(node.Mark(), message);
  }

  void ReadValue(const YAML::Node& name, const YAML::Node& value, const Option& option) {
    if (lines_ != nullptr) (*lines_)[option.key()] = name.Mark().line + 1;
    if (!value.IsScalar()) {
      const char* found = value.IsMap() ? "a section" : value.IsSequence() ? "a list" : "no value";
      AddError(name,
               absl::StrCat(option.key(), ": ", found, " is given; expected ", option.expected()));
      return;
    }
    const absl::Status set = option.Set(value.Scalar());
    if (!set.ok()) AddError(value, set.message());
  }

  // Names of the keys and sections directly in a section.
  std::vector<std::string> KeysIn(const std::string& prefix) const {
    std::set<std::string> names;
    const std::string start = prefix.empty() ? "" : prefix + ".";
    for (const auto& [key, option] : options_) {
      if (key.rfind(start, 0) == 0)
        names.insert(key.substr(start.size(), key.find('.', start.size()) - start.size()));
    }
    return {names.begin(), names.end()};
  }

  const std::string& source_;
  std::map<std::string, int>* const lines_;
  std::map<std::string, const Option*> options_;
  std::set<std::string> sections_;
  std::vector<std::string> errors_;
};

// Calls `read` with the mapping of a document of keys.
template <typename Read>
absl::Status ReadDocument(const std::string& yaml, YamlReader& reader, const Read& read) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(yaml);
    if (documents.size() > 1) {
      reader.AddError(documents[1].Mark(), "a second document; one is expected");
    } else if (documents.size() == 1 && documents[0].IsMap()) {
      read(documents[0]);
    } else if (documents.size() == 1 && !documents[0].IsNull()) {
      reader.AddError(documents[0].Mark(), "expected keys with values, as in \"key: value\"");
    }
  } catch (const YAML::Exception& error) {
    reader.AddError(error.mark, absl::StrCat("not YAML: ", error.msg));
  }
  return reader.status();
}

}  // namespace

Option Option::Text(std::string key, std::string& target) {
  return Option(
      std::move(key), "a text", [&target] { return target; },
      [&target](absl::string_view text) {
        target = std::string(text);
        return true;
      });
}

Option Option::Path(std::string key, std::filesystem::path& target, bool optional) {
  return Option(
      std::move(key), optional ? "a path, or \"\"" : "a path",
      [&target] { return target.string(); },
      [&target, optional](absl::string_view text) {
        if (!optional && text.empty()) return false;
        if (text.find('\0') != absl::string_view::npos) return false;
        target = std::string(text);
        return true;
      });
}

Option Option::Address(std::string key, std::string& target, bool optional) {
  return Option(
      std::move(key),
      absl::StrCat("\"HOST:PORT\" or \"[IPV6]:PORT\" with a port from 0 (picks one) to 65535",
                   optional ? ", or \"\"" : ""),
      [&target] { return target; },
      [&target, optional](absl::string_view text) {
        if (!(optional && text.empty()) && !IsAddress(text)) return false;
        target = std::string(text);
        return true;
      });
}

Option Option::Switch(std::string key, bool& target) {
  return Choice<bool>(std::move(key), target, {{"true", true}, {"false", false}});
}

Option Option::Time(std::string key, absl::Duration& target, absl::Duration min,
                    absl::Duration max) {
  return Option(
      std::move(key),
      absl::StrCat("a duration from ", absl::FormatDuration(min), " to ", absl::FormatDuration(max),
                   ", for example 250ms, 2s or 1m30s"),
      [&target] { return absl::FormatDuration(target); },
      [&target, min, max](absl::string_view text) {
        absl::Duration value;
        if (!absl::ParseDuration(text, &value) || value < min || value > max) return false;
        target = value;
        return true;
      });
}

Option Option::MakeNumber(std::string key, int64_t min, int64_t max, bool bytes,
                          std::function<int64_t()> get, std::function<void(int64_t)> set) {
  std::string expected =
      bytes ? absl::StrCat("a number of bytes from ", FormatBytes(min), " to ", FormatBytes(max),
                           ", for example 1048576, 64KiB or 32MiB")
            : absl::StrCat("an integer from ", min, " to ", max);
  return Option(
      std::move(key), std::move(expected),
      [get = std::move(get), bytes] { return bytes ? FormatBytes(get()) : absl::StrCat(get()); },
      [set = std::move(set), min, max, bytes](absl::string_view text) {
        int64_t value = 0;
        const bool parsed = bytes ? ParseBytes(text, value) : absl::SimpleAtoi(text, &value);
        if (!parsed || value < min || value > max) return false;
        set(value);
        return true;
      });
}

absl::Status Option::Set(absl::string_view text) const {
  if (set_(text)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key_, ": ", Quote(text), " is not valid; expected ", expected_));
}

absl::Status SetFromYaml(const std::string& yaml, const std::string& source,
                         const std::vector<Option>& options, std::map<std::string, int>* lines) {
  YamlReader reader(source, options, lines);
  return ReadDocument(yaml, reader,
                      [&](const YAML::Node& document) { reader.ReadSection(document, ""); });
}

absl::Status SetSectionFromYaml(const std::string& yaml, const std::string& source,
                                const std::string& section, const std::vector<Option>& options) {
  YamlReader reader(source, options, nullptr);
  return ReadDocument(yaml, reader, [&](const YAML::Node& document) {
    YAML::Node only(YAML::NodeType::Map);
    for (const auto& entry : document) {
      if (entry.first.IsScalar() && entry.first.Scalar() == section)
        only.force_insert(entry.first, entry.second);
    }
    reader.ReadSection(only, "");
  });
}

std::string ToYaml(const std::vector<Option>& options) {
  std::string out;
  std::vector<std::string> open;  // sections that the last line was in
  for (const Option& option : options) {
    std::vector<std::string> path = absl::StrSplit(option.key(), '.');
    const std::string name = path.back();
    path.pop_back();
    size_t common = 0;
    while (common < open.size() && common < path.size() && open[common] == path[common]) ++common;
    for (size_t depth = common; depth < path.size(); ++depth) {
      absl::StrAppend(&out, std::string(2 * depth, ' '), path[depth], ":\n");
    }
    absl::StrAppend(&out, std::string(2 * path.size(), ' '), name, ": ", YamlScalar(option.Get()),
                    "\n");
    open = std::move(path);
  }
  return out;
}

}  // namespace proad::server
