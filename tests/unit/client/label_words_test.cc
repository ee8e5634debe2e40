// The rule of client/cli/label_words.h, which is that of model/dataset/label_words.h, as a table.
#include "client/cli/label_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <string_view>

#include "tests/support/paths.h"

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
      "good1",
      "ok2",
      "GoodParts",
      "okparts",
      "OK_OK",
      "NoDefect",
      "test_good",
      "Train-OK",
      "anomaly free",
      "not defective",
      "not bad",
      "damage-free",
      "Gut Teil",
      "ohne Defekte",
      "keine Fehler",
      "kein Defekt",
      "normale",
      "bon \u00e9tat",
      "correcto",
      "bez wad",
      "normalny",
      "v po\u0159\u00e1dku",
      "kusursuz",
      "\u65e0\u5f02\u5e38",
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
      "NG1",
      "ng_2",
      "NotOK",
      "BadParts",
      "def_front",
      "bad weld",
      "crack_defect",
      "outlier",
      "damaged",
      "invalid",
      "Anomalie",
      "besch\u00e4digt",
      "nicht gut",
      "pas bon",
      "rejet\u00e9",
      "fallo",
      "rejeitado",
      "scartato",
      "niet goed",
      "uszkodzony",
      "\u0161patn\u00fd",
      "bozuk",
      "hatal\u0131",
      "\u4e0d\u5177\u5408",
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
    {LabelWord::kAmbiguous,
     {"positive",
      "Negative",
      "POS",
      "neg",
      "true",
      "\u9634\u6027",
      "Positives",
      "False",
      "0",
      "1",
      "00",
      "01",
      "0.0",
      "1.0",
      "-1",
      "class_0",
      "label 1",
      "yes",
      "N",
      "valid",
      "ok_front",
      "good with scratch",
      "OK_NG",
      "good_bad",
      "pass/fail",
      "nan",
      "None",
      "n/a",
      "?",
      "false reject",
      "pseudo defect",
      "normal positive"}},
    {LabelWord::kOther, {"",          " ",        "hole",         "scratch",
                         "crack",     "goodyear", "book",         "okra",
                         "2",         "10",       "No 1",         "io_module",
                         "part_1",    "images",   "masks",        "false colour",
                         "bun_crust", "cut2",     "broken_large", "\xff\xfe",
                         "\xe8\x89",  "x\xc3"}},
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

TEST(LabelWords, FoldersHaveRoles) {
  for (const char* name : {"train", "Train", "TRAIN ", "training", "01_train", "train_set"})
    EXPECT_EQ(ReadFolderRole(name), FolderRole::kTrain) << name;
  for (const char* name : {"test", "Test", "testing", "test data"})
    EXPECT_EQ(ReadFolderRole(name), FolderRole::kTest) << name;
  for (const char* name : {"ground_truth", "Ground Truth", "groundtruth", "GT", "masks", "Mask"})
    EXPECT_EQ(ReadFolderRole(name), FolderRole::kMasks) << name;
  for (const char* name : {"images", "IMG", "Bilder"})
    EXPECT_EQ(ReadFolderRole(name), FolderRole::kImages) << name;
  for (const char* name :
       {"", "good", "contest", "val", "bolt", "training_wheels", "test part", "test_1"})
    EXPECT_EQ(ReadFolderRole(name), FolderRole::kOther) << name;
}

// The text of a copy of the rule, with the names of the model's copy and without white space, which
// clang-format sets by the length of names.
std::string RuleIn(const std::string& folder, const std::string& ending) {
  std::ifstream file(proad::testing::SourceFolder() / folder / ("label_words" + ending));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_FALSE(text.empty()) << folder;
  const auto rename = [&text](const std::string& from, const std::string& to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at))
      text.replace(at, from.size(), to);
  };
  rename("proad::client", "proad::model");
  rename("#include \"client/cli/", "#include \"model/dataset/");
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

TEST(LabelWords, TheModelHasTheSameRule) {
  for (const char* ending : {".h", ".cc"})
    EXPECT_EQ(RuleIn("client/cli", ending), RuleIn("model/dataset", ending)) << ending;
}

}  // namespace
}  // namespace proad::client
