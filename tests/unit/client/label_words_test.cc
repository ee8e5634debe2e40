// The rule of client/cli/label_words.h, as a table.
#include "client/cli/label_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string_view>

namespace proad::client {
namespace {

struct Case {
  LabelWord meaning;
  std::vector<std::string_view> labels;
};

const Case kCases[] = {
    {LabelWord::kGood,
     {"good",
      "Good",
      "GOOD",
      "good ",
      " good",
      "good\t",
      "ok",
      "OK",
      "O.K.",
      "okay",
      "normal",
      "pass",
      "Passed",
      "accept",
      "defect-free",
      "no_defect",
      "No Defects",
      "non-defective",
      "good_parts",
      "OK images",
      "01_good",
      "good (2)",
      "good_1",
      "gut",
      "Gutteile",
      "i.O.",
      "IO",
      "fehlerfrei",
      "in Ordnung",
      "bon",
      "conforme",
      "sans d\u00e9faut",
      "sans de\u0301faut",
      "bueno",
      "sin defectos",
      "bom",
      "sem defeito",
      "buono",
      "goed",
      "godk\u00e4nd",
      "dobry",
      "hyv\u00e4",
      "sa\u011flam",
      "\u0413\u043e\u0434\u043d\u044b\u0439",
      "\u826f\u54c1",
      "\u5408\u683c",
      "\u6b63\u5e38",
      "\uff2f\uff2b",
      "\uc591\ud488",
      "\uc815\uc0c1",
      "\u110b\u1163\u11bc\u1111\u116e\u11b7"}},
    {LabelWord::kDefective,
     {"bad",
      "NG",
      "n.g.",
      "nok",
      "N.O.K.",
      "ko",
      "not ok",
      "not_good",
      "no good",
      "defect",
      "Defects",
      "defective",
      "faulty",
      "fail",
      "reject",
      "scrap",
      "abnormal",
      "anomaly",
      "schlecht",
      "n.i.O.",
      "nio",
      "nicht in Ordnung",
      "defekt",
      "d\u00e9fectueux",
      "non conforme",
      "defectuoso",
      "defeito",
      "difettoso",
      "z\u0142y",
      "wadliwy",
      "\u0431\u0440\u0430\u043a",
      "\u4e0d\u826f",
      "\u4e0d\u5408\u683c",
      "\u7570\u5e38",
      "\uff2e\uff27",
      "\ubd88\ub7c9"}},
    {LabelWord::kAmbiguous, {"positive", "Negative", "POS", "neg", "true", "\u9634\u6027"}},
    {LabelWord::kOther,
     {"", " ", "hole", "scratch", "crack", "goodyear", "book", "okra", "0", "1",
      "good with scratch", "broken_large", "\xff\xfe", "\xe8\x89", "x\xc3"}},
};

TEST(LabelWords, FollowTheTable) {
  for (const Case& row : kCases) {
    for (const std::string_view label : row.labels) {
      EXPECT_EQ(ReadLabelWord(label), row.meaning) << "'" << label << "'";
    }
  }
}

TEST(LabelWords, TheTableIsNormalizedAndHasNoWordTwice) {
  std::set<std::string_view> words;
  for (const LabelEntry& entry : LabelTable()) {
    EXPECT_EQ(NormalizeLabel(entry.word), entry.word);
    EXPECT_TRUE(words.insert(entry.word).second) << entry.word;
  }
  EXPECT_GT(words.size(), 200u);
}

}  // namespace
}  // namespace proad::client
