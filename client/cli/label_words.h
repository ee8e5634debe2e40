// Words that label a part as good or defective, in folder names and in lists.
//
// The rule:
//   1. Letters compare without case and accents, and full-width letters as ASCII letters.
//   2. Blanks and the characters _ - . , ; ( ) [ ] separate words. Numbers, and nouns such as "parts"
//      or "images", are ignored if another word remains.
//   3. The remaining words, joined, are looked up in the table of label_words.cc.
// So "good ", "OK", "01_good", "i.O.", "Gut", "no-defect" and "良品" are good.
//
// The table holds words only and needs no other part of the client, so that the readers of datasets
// can hold the same table. Pure functions: safe to call from any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace proad::client {

enum class LabelWord {
  kGood,
  kDefective,
  kAmbiguous,  // used for good and for defective parts, for example "positive"
  kOther,      // not in the table, for example the name of a kind of defect
};

// Reads a label, which is UTF-8.
LabelWord ReadLabelWord(std::string_view label);

// Returns the form of a label that is looked up: steps 1 and 2 of the rule.
std::string NormalizeLabel(std::string_view label);

struct LabelEntry {
  std::string_view word;  // normalized
  LabelWord meaning;
};

// Returns the table.
const std::vector<LabelEntry>& LabelTable();

}  // namespace proad::client
