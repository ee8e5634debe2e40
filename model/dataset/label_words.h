// Words that label a part as good or defective, in folder names and in lists; and the names of the
// folders that hold splits and masks.
//
// The rule for a label:
//   1. Letters compare without case and accents, and full-width letters as ASCII letters.
//   2. Blanks and punctuation, for example _ - . / ( ), separate words, as do a lower-case letter before
//      an upper-case letter and a letter before a digit. Numbers, nouns such as "parts" or "images"
//      and names of splits are ignored if another word remains.
//   3. The remaining words, joined, are looked up in the table of label_words.cc.
//   4. A label that is not in the table: a negation ("no", "ohne", "free") reverses the meaning of
//      the other words; words of the table that agree keep their meaning, and words that contradict
//      each other are ambiguous; a common word for defective parts beside other words is defective
//      ("bad weld"), and a common word for good parts beside other words is ambiguous ("ok front").
// So "good ", "OK", "01_good", "i.O.", "Gut", "no-defect", "GoodParts" and "良品" are good.
//
// client/cli and model/dataset each have this file, because the client includes no file of the
// model. A test compares the two copies. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace proad::model {

enum class LabelWord {
  kGood,
  kDefective,
  kAmbiguous,  // used for good and for defective parts, for example "positive", "0" and "1"
  kOther,      // not in the table, for example the name of a kind of defect
};

// Reads a label, which is UTF-8.
LabelWord ReadLabelWord(std::string_view label);

// Returns the form of a label that is looked up: steps 1 and 2 of the rule.
std::string NormalizeLabel(std::string_view label);

// The folders of a category by their names, for example "train", "Training" and "01_train".
enum class FolderRole {
  kTrain,
  kTest,
  kMasks,   // "ground_truth", "masks"
  kImages,  // "images"
  kOther,
};

FolderRole ReadFolderRole(std::string_view folder);

struct LabelEntry {
  std::string_view word;  // normalized
  LabelWord meaning;
};

// Returns the table.
const std::vector<LabelEntry>& LabelTable();

}  // namespace proad::model
