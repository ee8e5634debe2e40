#include "model/files/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "model/files/error.h"

namespace proad::model {
namespace {

using ::testing::HasSubstr;

std::vector<std::vector<std::string>> Fields(const std::string& text) {
  std::vector<std::vector<std::string>> fields;
  for (const CsvRow& row : ParseCsv(text, "list.csv")) fields.push_back(row.fields);
  return fields;
}

TEST(ParseCsv, ReadsFields) {
  using Rows = std::vector<std::vector<std::string>>;
  const std::map<std::string, Rows> cases = {
      {"", {}},
      {"\n\r\n", {}},
      {"a", {{"a"}}},
      {"a,\n", {{"a", ""}}},
      {",", {{"", ""}}},
      {"a,b\r\nc,d", {{"a", "b"}, {"c", "d"}}},
      {"\"\"", {{""}}},
      {"\"a,\"\"\r\nb\",c\n", {{"a,\"\r\nb", "c"}}},
      {"\xEF\xBB\xBF\"a\"", {{"a"}}},
      {"a\rb", {{"a\rb"}}},
      {"a;b\nc,d;e", {{"a", "b"}, {"c,d", "e"}}},
      {"a\tb\nc;d\te,f", {{"a", "b"}, {"c;d", "e,f"}}},
      {"\"a;\nb\",c\nd;e,f", {{"a;\nb", "c"}, {"d;e", "f"}}},
      {"a\nb;c", {{"a"}, {"b;c"}}},
  };
  for (const auto& [text, rows] : cases) EXPECT_EQ(Fields(text), rows) << text;
}

TEST(ParseCsv, ErrorsNameTheLine) {
  const std::map<std::string, std::vector<std::string>> cases = {
      {"a,b\nc\n", {"list.csv:2:", "1 fields", "2"}},
      {"a\n\n\"b\nc", {"list.csv:3:", "without a closing quote"}},
      {"a\n\"b\nc\"d", {"list.csv:3:", "closing quote"}},
      {"a\nb\"c\"", {"list.csv:2:", "quote"}},
      {"a\n\xff", {"list.csv:2:", "UTF-8"}},
      {"a,b;c\n", {"list.csv:1:", "semicolons"}},
      {std::string(64, ','), {"list.csv:1:", "64 columns"}},
  };
  for (const auto& [text, words] : cases) {
    try {
      Fields(text);
      FAIL() << text;
    } catch (const InvalidInput& error) {
      EXPECT_EQ(error.reason(), "CSV_DAMAGED");
      for (const std::string& word : words) EXPECT_THAT(error.what(), HasSubstr(word));
    }
  }
  EXPECT_THROW(ParseCsv("a\nb\nc\n", "list.csv", {.rows = 2}), InvalidInput);
}

}  // namespace
}  // namespace proad::model
