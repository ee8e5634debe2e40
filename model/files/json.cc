#include "model/files/json.h"

#include <set>
#include <vector>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

using nlohmann::json;

// Checks duplicate keys, depth and array lengths while the text is parsed, and keeps no value. (The
// library's parser callback visits all elements of an array again after each object in it; an array
// of a hundred thousand objects then takes minutes.)
class LimitChecker : public nlohmann::json_sax<json> {
 public:
  LimitChecker(const std::string& source, const JsonLimits& limits)
      : source_(source), limits_(limits) {}

  bool null() override { return CountElement(); }
  bool boolean(bool) override { return CountElement(); }
  bool number_integer(number_integer_t) override { return CountElement(); }
  bool number_unsigned(number_unsigned_t) override { return CountElement(); }
  bool number_float(number_float_t, const string_t&) override { return CountElement(); }
  bool string(string_t&) override { return CountElement(); }
  bool binary(binary_t&) override { return CountElement(); }

  bool start_object(size_t) override { return Open(false); }
  bool start_array(size_t) override { return Open(true); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& key) override {
    if (!open_.back().keys.insert(key).second) {
      throw CorruptFile(source_, "the JSON key " + Quote(key) + " occurs twice in one object");
    }
    return true;
  }

  bool parse_error(size_t, const std::string&, const json::exception& error) override {
    if (const auto* syntax = dynamic_cast<const json::parse_error*>(&error)) {
      throw CorruptFile(source_, "not valid JSON at byte " + std::to_string(syntax->byte));
    }
    throw CorruptFile(source_, "a JSON number is too large for a double");
  }

 private:
  struct Level {
    bool is_array;
    size_t elements = 0;
    std::set<std::string> keys;
  };

  bool Open(bool is_array) {
    CountElement();
    if (open_.size() >= static_cast<size_t>(limits_.depth)) {
      throw CorruptFile(
          source_, "the JSON is nested deeper than " + std::to_string(limits_.depth) + " levels");
    }
    open_.push_back({is_array, 0, {}});
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  bool CountElement() {
    if (open_.empty() || !open_.back().is_array) return true;
    if (++open_.back().elements > limits_.array_length) {
      throw CorruptFile(source_, "a JSON array has more than " +
                                     std::to_string(limits_.array_length) + " elements");
    }
    return true;
  }

  const std::string& source_;
  const JsonLimits& limits_;
  std::vector<Level> open_;
};

}  // namespace

nlohmann::json ParseStrictJson(std::string_view text, const std::string& source,
                               const JsonLimits& limits) {
  LimitChecker checker(source, limits);
  json::sax_parse(text.begin(), text.end(), &checker);
  return json::parse(text.begin(), text.end());
}

}  // namespace proad::model
