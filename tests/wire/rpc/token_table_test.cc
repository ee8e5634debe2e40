#include "server/rpc/token_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_directory.h"
#include "tests/support/tokens.h"

namespace proad::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(TokenTable, FindsTheEntryOfAToken) {
  const auto table = TokenTable::Parse(TokenLines(), "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->size(), 3u);
  const TokenTable::Entry* const entry = table->Find(kTrainToken);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->name, "mlops");
  EXPECT_EQ(entry->role, Role::kTrain);
}

TEST(TokenTable, FindsNothingForWhatIsNoToken) {
  const auto table = TokenTable::Parse(TokenLines(), "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  for (const std::string& token :
       {std::string(), std::string("wrong"), std::string(kAdminToken) + " ",
        std::string(kAdminToken).substr(1), TokenTable::DigestOf(kAdminToken),
        std::string(kAdminToken) + std::string(1, '\0')}) {
    EXPECT_EQ(table->Find(token), nullptr) << token;
  }
  EXPECT_EQ(table->FindDigest(""), nullptr);
}

TEST(TokenTable, TakesSpacesTabsAndAnyLineEnd) {
  const std::string digest(64, 'a');
  const auto table = TokenTable::Parse(absl::StrCat("  a\tdetect  ", digest, "\r\n\n# x"), "t");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->size(), 1u);
}

TEST(TokenTable, TakesOneNameWithTwoTokens) {
  const auto table = TokenTable::Parse(
      TokenLine("a", Role::kDetect, "old") + TokenLine("a", Role::kDetect, "new"), "tokens");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_NE(table->Find("old"), nullptr);
  EXPECT_NE(table->Find("new"), nullptr);
}

struct BadTable {
  const char* what;
  std::string text;
  std::string words;
};

class TokenTableErrors : public ::testing::TestWithParam<BadTable> {};

TEST_P(TokenTableErrors, SayWhereAndWhat) {
  const absl::Status status = TokenTable::Parse(GetParam().text, "tokens").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << GetParam().what;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().words));
  // Somebody may have written the token itself.
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

const std::string kDigest(64, 'b');

INSTANTIATE_TEST_SUITE_P(
    Texts, TokenTableErrors,
    ::testing::Values(
        BadTable{"empty", "", "tokens: has no entry"},
        BadTable{"comments only", "# a\n\n", "tokens: has no entry"},
        BadTable{"two words", "a detect", "tokens:1: 2 words"},
        BadTable{"four words", absl::StrCat("a detect ", kDigest, " secret"), "tokens:1: 4 words"},
        BadTable{"a name in capitals", absl::StrCat("\nLine detect ", kDigest),
                 "tokens:2: the name"},
        BadTable{"no role", absl::StrCat("a root ", kDigest), "not one of detect, train, admin"},
        BadTable{"nobody's role", absl::StrCat("a nobody ", kDigest), "not one of detect"},
        BadTable{"a token", "a detect proad_secret", "64 lower-case"},
        BadTable{"a digest in capitals", absl::StrCat("a detect ", std::string(64, 'B')),
                 "64 lower"},
        BadTable{"a digest that is too long", absl::StrCat("a detect ", kDigest, "b"), "64 lower"},
        BadTable{"twice", absl::StrCat("a detect ", kDigest, "\nb admin ", kDigest),
                 "tokens:2: a line above has the same token"}));

TEST(TokenTable, RefusesMoreEntriesThanItHolds) {
  std::string text;
  for (size_t i = 0; i <= TokenTable::kMaxEntries; ++i) {
    absl::StrAppend(&text, "a detect ", TokenTable::DigestOf(absl::StrCat(i)), "\n");
  }
  EXPECT_THAT(std::string(TokenTable::Parse(text, "t").status().message()),
              HasSubstr("more than 10000 entries"));
}

TEST(TokenTable, NamesAFileThatCannotBeRead) {
  const testing::TempDirectory root;
  const absl::Status status = TokenTable::Read(root / "tokens").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr((root / "tokens").string()), HasSubstr("No such file")));
}

}  // namespace
}  // namespace proad::server
