#include "model/strict_json.h"

#include <set>
#include <vector>

#include "model/error.h"

namespace proad::model {
namespace {

using nlohmann::json;

// Watches the parser: the keys of the objects that are open, and the lengths of the arrays.
class Watch {
 public:
  Watch(const std::string& source, const JsonLimits& limits) : source_(source), limits_(limits) {}

  void Event(json::parse_event_t event, const json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
        CountElement();
        Open(false);
        break;
      case json::parse_event_t::array_start:
        CountElement();
        Open(true);
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        open_.pop_back();
        break;
      case json::parse_event_t::key:
        if (!open_.back().keys.insert(parsed.get_ref<const std::string&>()).second) {
          throw CorruptFile(source_, "the JSON key " + Quote(parsed.get_ref<const std::string&>()) +
                                         " stands twice in one object");
        }
        break;
      case json::parse_event_t::value:
        CountElement();
        break;
    }
  }

 private:
  struct Level {
    bool is_array;
    size_t elements = 0;
    std::set<std::string> keys;
  };

  void Open(bool is_array) {
    if (open_.size() >= static_cast<size_t>(limits_.depth)) {
      throw CorruptFile(
          source_, "the JSON is nested deeper than " + std::to_string(limits_.depth) + " levels");
    }
    open_.push_back({is_array, 0, {}});
  }

  void CountElement() {
    if (open_.empty() || !open_.back().is_array) return;
    if (++open_.back().elements > limits_.array_length) {
      throw CorruptFile(source_, "a JSON array has more than " +
                                     std::to_string(limits_.array_length) + " elements");
    }
  }

  const std::string& source_;
  const JsonLimits& limits_;
  std::vector<Level> open_;
};

}  // namespace

nlohmann::json ParseStrictJson(std::string_view text, const std::string& source,
                               const JsonLimits& limits) {
  Watch watch(source, limits);
  try {
    return json::parse(text.begin(), text.end(),
                       [&watch](int, json::parse_event_t event, json& parsed) {
                         watch.Event(event, parsed);
                         return true;
                       });
  } catch (const json::parse_error& error) {
    throw CorruptFile(source, "not valid JSON at byte " + std::to_string(error.byte));
  } catch (const json::out_of_range&) {
    throw CorruptFile(source, "a JSON number is too large for a double");
  }
}

std::string Quote(std::string_view text) {
  constexpr size_t kReadable = 120;
  const bool cut = text.size() > kReadable;
  return json(text.substr(0, kReadable)).dump(-1, ' ', true, json::error_handler_t::replace) +
         (cut ? ".." : "");
}

bool IsUtf8(std::string_view text) {
  try {
    json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

}  // namespace proad::model
