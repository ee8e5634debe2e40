// Writes and reads structs as JSON objects, both from one list of their fields:
//
//   template <SameType<Point> Struct, typename Visit>
//   void Fields(Struct& point, Visit& visit) {
//     visit("x", point.x);
//     visit("y", point.y);
//   }
//
// Reading is strict: a key that is missing, unknown or of another type is an error that names its
// path. Members may be booleans, numbers, strings, paths, times, durations, enumerations with
// EnumNames, structs with Fields, and vectors, maps and optionals of these; an absent optional has
// no key. Include it in .cc files only, since it includes the JSON library.
#pragma once

#include <cmath>
#include <concepts>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "model/files/error.h"
#include "model/files/json.h"
#include "model/files/text.h"
#include "server/util/reasons.h"

namespace proad::server {

// A struct, or the same const.
template <typename T, typename Struct>
concept SameType = std::same_as<std::remove_const_t<T>, Struct>;

// The names of the values of an enumeration. Specialise it for each enumeration:
//   static constexpr Color all[] = {kRed, kGreen};
//   static const char* Name(Color color);
template <typename Enum>
struct EnumNames;

// Writes the fields of one object, in the order of its list. Throws model::InvalidInput for a
// number that is not finite: JSON has none.
class JsonWriter {
 public:
  template <typename T>
  void operator()(const char* key, const T& value) {
    if constexpr (requires { value.has_value(); }) {
      if (value) object_[key] = Value(*value, key);
    } else {
      object_[key] = Value(value, key);
    }
  }

  nlohmann::ordered_json Take() { return std::move(object_); }

 private:
  using Json = nlohmann::ordered_json;

  static Json Value(const std::filesystem::path& value, const char*) { return value.string(); }
  static Json Value(absl::Time value, const char*) {
    return absl::FormatTime(absl::RFC3339_full, value, absl::UTCTimeZone());
  }
  static Json Value(absl::Duration value, const char*) { return absl::FormatDuration(value); }

  template <typename T>
  static Json Value(const std::vector<T>& values, const char* key) {
    Json array = Json::array();
    for (const T& value : values) array.push_back(Value(value, key));
    return array;
  }
  template <typename T>
  static Json Value(const std::map<std::string, T>& values, const char* key) {
    Json object = Json::object();
    for (const auto& [name, value] : values) object[name] = Value(value, key);
    return object;
  }
  template <typename T>
  static Json Value(const T& value, const char* key) {
    if constexpr (std::is_enum_v<T>) {
      return EnumNames<T>::Name(value);
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) {
        throw model::InvalidInput(key, reason::kNotFinite,
                                  absl::StrCat(key, " is not a finite number"));
      }
      return value;
    } else if constexpr (std::is_class_v<T> && !std::same_as<T, std::string>) {
      JsonWriter writer;
      Fields(value, writer);
      return writer.Take();
    } else {
      return value;
    }
  }

  Json object_ = Json::object();
};

// Reads the fields of one object. Throws model::CorruptFile naming `source`, which must outlive it.
class JsonReader {
 public:
  // `path` leads to the object: "spec.train", "" for the outermost.
  JsonReader(const nlohmann::json& object, const std::string& source, std::string path = "")
      : object_(object), source_(source), path_(std::move(path)) {
    if (!object.is_object()) Refuse(path_, "must be an object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    taken_.insert(key);
    const auto found = object_.find(key);
    if constexpr (requires { value.has_value(); }) {
      value.reset();
      if (found != object_.end()) Read(*found, PathOf(key), value.emplace());
    } else {
      if (found == object_.end()) Refuse(PathOf(key), "is missing");
      Read(*found, PathOf(key), value);
    }
  }

  // To be called after the last field.
  void Finish() const {
    for (const auto& item : object_.items()) {
      if (!taken_.contains(item.key())) {
        Refuse(PathOf(item.key()), "is not a key that this program knows");
      }
    }
  }

  [[noreturn]] void Refuse(const std::string& path, const std::string& message) const {
    throw model::CorruptFile(source_, absl::StrCat(path.empty() ? "the JSON" : path, " ", message));
  }

 private:
  std::string PathOf(const std::string& key) const {
    return path_.empty() ? model::Quote(key) : absl::StrCat(path_, ".", model::Quote(key));
  }

  const std::string& TextOf(const nlohmann::json& json, const std::string& path) const {
    if (!json.is_string()) Refuse(path, "must be a string");
    return json.get_ref<const std::string&>();
  }

  void Read(const nlohmann::json& json, const std::string& path, bool& value) const {
    if (!json.is_boolean()) Refuse(path, "must be true or false");
    value = json.get<bool>();
  }
  void Read(const nlohmann::json& json, const std::string& path, std::string& value) const {
    value = TextOf(json, path);
  }
  void Read(const nlohmann::json& json, const std::string& path,
            std::filesystem::path& value) const {
    value = TextOf(json, path);
  }
  void Read(const nlohmann::json& json, const std::string& path, absl::Time& value) const {
    if (!absl::ParseTime(absl::RFC3339_full, TextOf(json, path), &value, nullptr)) {
      Refuse(path, "must be a time as in RFC 3339");
    }
  }
  void Read(const nlohmann::json& json, const std::string& path, absl::Duration& value) const {
    if (!absl::ParseDuration(TextOf(json, path), &value)) {
      Refuse(path, "must be a duration, for example 1m30s");
    }
  }
  template <typename T>
  void Read(const nlohmann::json& json, const std::string& path, std::vector<T>& values) const {
    if (!json.is_array()) Refuse(path, "must be an array");
    values.clear();
    values.resize(json.size());
    for (size_t i = 0; i < values.size(); ++i) {
      Read(json[i], absl::StrCat(path, "[", i, "]"), values[i]);
    }
  }
  template <typename T>
  void Read(const nlohmann::json& json, const std::string& path,
            std::map<std::string, T>& values) const {
    if (!json.is_object()) Refuse(path, "must be an object");
    values.clear();
    for (const auto& item : json.items()) {
      Read(item.value(), absl::StrCat(path, ".", model::Quote(item.key())), values[item.key()]);
    }
  }
  template <typename T>
  void Read(const nlohmann::json& json, const std::string& path, T& value) const {
    if constexpr (std::is_enum_v<T>) {
      const std::string& text = TextOf(json, path);
      for (const T known : EnumNames<T>::all) {
        if (text == EnumNames<T>::Name(known)) {
          value = known;
          return;
        }
      }
      Refuse(path, absl::StrCat("is ", model::Quote(text), ", which this program does not know"));
    } else if constexpr (std::is_integral_v<T>) {
      if (!json.is_number_integer()) Refuse(path, "must be a whole number");
      const bool fits = json.is_number_unsigned() ? std::in_range<T>(json.get<uint64_t>())
                                                  : std::in_range<T>(json.get<int64_t>());
      if (!fits) Refuse(path, "is out of range");
      value = json.get<T>();
    } else if constexpr (std::is_floating_point_v<T>) {
      if (!json.is_number()) Refuse(path, "must be a number");
      value = json.get<T>();
    } else {
      JsonReader reader(json, source_, path);
      Fields(value, reader);
      reader.Finish();
    }
  }

  const nlohmann::json& object_;
  const std::string& source_;
  const std::string path_;
  std::set<std::string> taken_;
};

}  // namespace proad::server
