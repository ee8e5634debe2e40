#include "client/cli/label_words.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>

namespace proad::client {
namespace {

// Words in the form of NormalizeLabel. Korean words also in decomposed letters, which macOS uses in
// file names.
constexpr std::string_view kGoodWords[] = {
    // English
    "good", "ok", "okay", "okey", "normal", "pass", "passed", "accept", "accepted", "acceptable",
    "perfect", "flawless", "faultless", "faultfree", "defectfree", "defectless", "nodefect",
    "nodefects", "nondefect", "nondefective", "notdefective", "undefective", "withoutdefect",
    "anomalyfree", "noanomaly", "nonanomalous", "nodamage", "undamaged", "nocrack", "conform",
    "conforming", "healthy", "intact", "clean", "compliant", "approved", "correct", "nonanomaly",
    "noerror", "notbad", "notdefect", "goodcondition",
    // German
    "io", "inordnung", "gut", "gutteil", "gutteile", "fehlerfrei", "fehlerlos", "mangelfrei",
    "defektfrei", "keinfehler", "keinefehler", "ohnefehler", "ohnedefekt", "ohnebefund", "gutbild",
    "gutbilder", "brauchbar", "bestanden", "einwandfrei", "intakt",
    // French, Spanish, Portuguese, Italian, Romanian
    "bon", "bonne", "bons", "bonnes", "conforme", "conformes", "sansdefaut", "sansdefauts", "bueno",
    "buena", "buenos", "buenas", "sindefecto", "sindefectos", "aprobado", "bom", "boa", "boas",
    "semdefeito", "semdefeitos", "aprovado", "buono", "buona", "buoni", "senzadifetti",
    "senzadifetto", "bun", "buna", "sain", "sains", "correcto", "correcta", "correctos", "sano",
    "sanos", "sinfallas", "sinfallos", "normale", "normali", "normales", "normais", "bonetat",
    "buenestado", "correto", "accettato", "corretto", "accepte", "acceptes", "valide", "aprovada",
    // Dutch, Swedish, Danish, Norwegian, Finnish
    "goed", "goedgekeurd", "godkand", "godkant", "godkendt", "godkjent", "felfri", "hyva", "ehja",
    "zonderdefect", "zonderfouten", "ingenfeil", "ingenfejl",
    // Polish, Czech, Hungarian, Turkish
    "dobry", "dobra", "dobre", "bezwad", "bezvad", "bezvady", "hibatlan", "iyi", "hatasiz",
    "saglam", "kusursuz", "normalny", "normalni", "prawidlowy", "prawidlowe", "poprawny", "sprawny",
    "vporadku", "jo", "megfelelo",
    // Russian
    "исправныи", "исправен", "нормально", "нормальныи", "годен", "годныи", "годные", "хорошо",
    "хорошии", "хорошие", "норма", "безбрака", "бездефектов",
    // Chinese, Japanese, Korean
    "良", "良品", "良好", "好", "好品", "合格", "合格品", "正常", "正常品", "正品", "无缺陷",
    "無缺陷", "无瑕疵", "無瑕疵", "異常なし", "欠陥なし", "ok品", "无异常", "無異常", "没有缺陷",
    "傷なし", "問題なし", "양품", "정상", "정상품", "양호", "합격",
    "\u110b\u1163\u11bc\u1111\u116e\u11b7", "\u110c\u1165\u11bc\u1109\u1161\u11bc",
    "\u110b\u1163\u11bc\u1112\u1169", "\u1112\u1161\u11b8\u1100\u1167\u11a8"};

constexpr std::string_view kDefectiveWords[] = {
    // English
    "bad", "ng", "nok", "ko", "notok", "nogood", "notgood", "defect", "defects", "defective",
    "defectives", "defected", "fault", "faults", "faulty", "fail", "failed", "failure", "reject",
    "rejected", "rejects", "scrap", "abnormal", "anomaly", "anomalies", "anomalous", "notnormal",
    "nonconforming", "nonconform", "unacceptable", "def", "damage", "damaged", "broken", "invalid",
    "incorrect", "outlier", "outliers", "unhealthy", "noncompliant", "nonconformity", "flaw",
    "flawed", "error", "errors", "notpass", "notpassed", "notaccepted", "imperfect",
    // German
    "nio", "nichtio", "nichtinordnung", "nichtok", "schlecht", "schlechtteil", "schlechtteile",
    "defekt", "defekte", "fehler", "fehlerhaft", "ausschuss", "ausschus", "mangelhaft",
    "schlechtbild", "schlechtbilder", "schadhaft", "beschadigt", "kaputt", "mangel", "anomalie",
    "anomalien", "nichtgut", "nichtbestanden", "unbrauchbar", "anormal",
    // French, Spanish, Portuguese, Italian, Romanian
    "mauvais", "mauvaise", "mauvaises", "defaut", "defauts", "defectueux", "defectueuse",
    "nonconforme", "nonconformes", "rebut", "malo", "mala", "malos", "malas", "defecto", "defectos",
    "defectuoso", "defectuosa", "defectuosos", "noconforme", "rechazado", "ruim", "defeito",
    "defeitos", "defeituoso", "naoconforme", "reprovado", "difetto", "difetti", "difettoso",
    "difettosi", "scarto", "scarti", "cattivo", "rau", "rejete", "rejetes", "pasbon", "anormale",
    "anormaux", "anormales", "anomalo", "anomalia", "anomalias", "fallo", "fallos", "falla",
    "fallas", "rechazo", "rejeitado", "rejeitados", "ruins", "scartato", "difettosa", "difettose",
    "nonbuono", "defectueuses", "defectuosas", "defeituosa", "defeituosos", "cattivi",
    // Dutch, Swedish, Danish, Norwegian, Finnish
    "slecht", "afgekeurd", "fout", "fouten", "felaktig", "felaktiga", "underkand", "underkant",
    "fejl", "feil", "viallinen", "defekter", "defecten", "nietok", "nietgoed", "dalig", "darlig",
    // Polish, Czech, Hungarian, Turkish
    "zly", "zla", "zle", "wadliwy", "wadliwe", "wada", "wady", "brak", "braki", "vadny", "vadne",
    "vada", "zmetek", "zmetky", "rossz", "hibas", "selejt", "kotu", "hatali", "kusurlu",
    "uszkodzony", "uszkodzone", "nieprawidlowy", "odrzut", "spatny", "spatne", "chybny", "bozuk",
    "kusur", "hata", "ariza", "arizali", "niedobry", "niedobre",
    // Russian
    "брак", "бракованныи", "дефект", "дефекты", "дефектныи", "плохо", "плохои", "плохие", "негоден",
    "негодныи",
    // Chinese, Japanese, Korean
    "不良", "不良品", "坏", "坏品", "次品", "损坏", "破損", "不正常", "不好", "废品", "廢品",
    "不合格", "不合格品", "异常", "異常", "異常品", "缺陷", "有缺陷", "瑕疵", "欠陥", "欠陥品",
    "ng品", "不具合", "불량", "불량품", "비정상", "불합격", "결함",
    "\u1107\u116e\u11af\u1105\u1163\u11bc",
    "\u1107\u116e\u11af\u1105\u1163\u11bc\u1111\u116e\u11b7",
    "\u1107\u1175\u110c\u1165\u11bc\u1109\u1161\u11bc",
    "\u1107\u116e\u11af\u1112\u1161\u11b8\u1100\u1167\u11a8",
    "\u1100\u1167\u11af\u1112\u1161\u11b7"};

// A test is positive when it finds a defect, but a positive example is also a good one. 0 and 1 stand
// for a class or for a truth value. "none" may mean no defect, or no label. A pseudo error is a good part that was rejected.
constexpr std::string_view kAmbiguousWords[] = {
    "positive",  "positives", "positiv",      "positif",  "positivo",  "positiva",   "pos",
    "negative",  "negatives", "negativ",      "negatif",  "negativo",  "negativa",   "neg",
    "true",      "false",     "wahr",         "falsch",   "vrai",      "faux",       "0",
    "1",         "class0",    "class1",       "label0",   "label1",    "klasse0",    "klasse1",
    "valid",     "pseudo",    "pseudofehler", "overkill", "falsecall", "falsealarm", "na",
    "nan",       "none",      "null",         "unknown",  "unbekannt", "unlabeled",  "unlabelled",
    "undefined", "?",         "阳性",         "陽性",     "阴性",      "陰性",       "양성",
    "음성"};

// Answers, ambiguous as a whole label. "No 1" is a name.
constexpr std::string_view kAnswers[] = {"yes", "no",  "ja", "nein", "oui", "non", "si", "sim",
                                         "nao", "tak", "y",  "n",    "t",   "f",   "j"};

// Ignored beside another word.
constexpr std::string_view kNouns[] = {
    "part",    "parts",    "image",   "images",   "img",    "imgs",     "sample",   "samples",
    "picture", "pictures", "photo",   "photos",   "piece",  "pieces",   "item",     "items",
    "product", "products", "example", "examples", "teil",   "teile",    "bild",     "bilder",
    "set",     "data",     "dataset", "class",    "label",  "klasse",   "pic",      "pics",
    "pieza",   "piezas",   "pezzi",   "pezzo",    "imagen", "imagenes", "immagini", "folder",
    "files",   "result",   "quality", "state"};
constexpr std::string_view kImageNouns[] = {"image",    "images", "img",    "imgs",     "picture",
                                            "pictures", "pic",    "pics",   "photo",    "photos",
                                            "bild",     "bilder", "imagen", "imagenes", "immagini"};
constexpr std::string_view kTrainNames[] = {"train",     "training",     "trainset",
                                            "traindata", "trainingdata", "trainingset"};
constexpr std::string_view kTestNames[] = {"test", "tests", "testing", "testset", "testdata"};
constexpr std::string_view kMaskNames[] = {
    "groundtruth", "groundtruths", "gt",         "gts",         "mask",         "masks",
    "maske",       "masken",       "annotation", "annotations", "segmentation", "segmentations"};
constexpr std::string_view kOtherSplits[] = {"val", "validation"};

// Reverse the meaning of the other words of a label, as the first or as the last word.
constexpr std::string_view kNegationsBefore[] = {
    "no",   "not",  "non",  "without", "un",   "nicht", "ohne", "kein", "keine",  "pas",
    "sans", "sin",  "sem",  "senza",   "nao",  "bez",   "geen", "niet", "zonder", "nie",
    "utan", "uden", "uten", "ingen",   "inte", "ikke",  "не",   "без"};
constexpr std::string_view kNegationsAfter[] = {"free", "frei", "fri", "less", "los", "vrij"};

// Words of the table that keep their meaning beside other words.
constexpr std::string_view kCommonGood[] = {"good",     "ok",   "okay", "normal", "gut",
                                            "conforme", "良品", "正常", "정상",   "양품"};
constexpr std::string_view kCommonDefective[] = {
    "bad",      "ng",      "nok",  "def",    "defect", "defects", "defective", "defekt", "anomaly",
    "abnormal", "reject",  "fail", "faulty", "fehler", "scrap",   "schlecht",  "defaut", "defecto",
    "defeito",  "difetto", "不良", "异常",   "異常",   "欠陥",    "缺陷",      "불량",   "결함"};

// Base letters of U+00C0 to U+017F.
constexpr std::string_view kLatinBase =
    "aaaaaaaceeeeiiiidnooooo?ouuuuytsaaaaaaaceeeeiiiidnooooo?ouuuuyty"
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"
    "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
static_assert(kLatinBase.size() == 0x180 - 0xC0);

// Reads the character at `at` and moves `at` behind it. A byte that is not UTF-8 is returned as it is.
char32_t NextCharacter(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(at);
  const size_t length = first < 0xC2   ? 1
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 1;
  if (length == 1 || at + length > text.size()) {
    ++at;
    return first;
  }
  char32_t code = first & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte(at + i) & 0x3Fu);
  at += length;
  return code;
}

void AppendUtf8(char32_t code, std::string& text) {
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
    return;
  }
  const int tail = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint8_t kFirst[] = {0, 0xC0, 0xE0, 0xF0};
  text.push_back(static_cast<char>(kFirst[tail] | code >> 6 * tail));
  for (int i = tail - 1; i >= 0; --i) {
    text.push_back(static_cast<char>(0x80 | (code >> 6 * i & 0x3F)));
  }
}

bool IsSeparator(char32_t code) {
  constexpr std::u32string_view kSeparators = U" \t\r\n_-.,;:/\\|+&#'\"()[]{}\u00A0\u3000\u2013";
  return kSeparators.find(code) != std::u32string_view::npos;
}

bool IsCombiningMark(char32_t code) { return code >= 0x300 && code <= 0x36F; }

// Returns the lower-case letter without accent.
char32_t Fold(char32_t code) {
  if (code >= 0xFF01 && code <= 0xFF5E) code -= 0xFEE0;  // full width
  if (code >= 'A' && code <= 'Z') return code + ('a' - 'A');
  if (code >= 0xC0 && code < 0x180) return static_cast<char32_t>(kLatinBase[code - 0xC0]);
  if (code >= 0x410 && code <= 0x42F) code += 0x20;  // Cyrillic capitals
  if (code == 0x439) return 0x438;                   // short i
  if (code == 0x401 || code == 0x451) return 0x435;  // io
  return code;
}

template <size_t kSize>
bool Contains(const std::string_view (&words)[kSize], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool IsNumber(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsIgnored(std::string_view word) {
  return IsNumber(word) || Contains(kNouns, word) || Contains(kTrainNames, word) ||
         Contains(kTestNames, word) || Contains(kOtherSplits, word);
}

bool IsLower(char32_t code) { return code >= 'a' && code <= 'z'; }
bool IsUpper(char32_t code) { return code >= 'A' && code <= 'Z'; }
bool IsDigit(char32_t code) { return code >= '0' && code <= '9'; }

std::vector<std::string> Words(std::string_view label) {
  std::vector<std::string> words(1);
  char32_t before = 0;
  for (size_t at = 0; at < label.size();) {
    const char32_t code = NextCharacter(label, at);
    const char32_t folded = Fold(code);
    const bool starts_word = (IsLower(before) && IsUpper(code)) ||
                             ((IsLower(before) || IsUpper(before)) && IsDigit(code));
    if ((IsSeparator(folded) || starts_word) && !words.back().empty()) words.emplace_back();
    if (!IsSeparator(folded) && !IsCombiningMark(code)) AppendUtf8(folded, words.back());
    before = code;
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::string Join(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += word;
  return joined;
}

// Removes the ignored words if another word remains.
std::vector<std::string> RemoveIgnored(std::vector<std::string> words) {
  if (!std::all_of(words.begin(), words.end(), IsIgnored)) std::erase_if(words, IsIgnored);
  return words;
}

// Returns the value of a label of digits without leading zeros and without the zeros of a fraction.
std::string NumberOf(std::vector<std::string> digits) {
  const auto is_zero = [](const std::string& word) {
    return word.find_first_not_of('0') == std::string::npos;
  };
  while (digits.size() > 1 && is_zero(digits.back())) digits.pop_back();
  const std::string joined = Join(digits);
  const size_t first = joined.find_first_not_of('0');
  return first == std::string::npos ? joined.substr(0, 1) : joined.substr(first);
}

LabelWord LookUp(std::string_view normalized) {
  static const auto* const kMeanings = [] {
    auto* const meanings = new std::unordered_map<std::string_view, LabelWord>;
    for (const LabelEntry& entry : LabelTable()) meanings->emplace(entry.word, entry.meaning);
    return meanings;
  }();
  const auto found = kMeanings->find(normalized);
  return found == kMeanings->end() ? LabelWord::kOther : found->second;
}

// Looks up a label whose noun is not separated, for example "okparts".
LabelWord LookUpWithNoun(std::string_view joined) {
  for (const std::string_view noun : kNouns) {
    if (joined.size() <= noun.size()) continue;
    LabelWord meaning = LabelWord::kOther;
    if (joined.ends_with(noun)) meaning = LookUp(joined.substr(0, joined.size() - noun.size()));
    if (joined.starts_with(noun)) meaning = LookUp(joined.substr(noun.size()));
    if (meaning == LabelWord::kGood || meaning == LabelWord::kDefective) return meaning;
  }
  return LabelWord::kOther;
}

LabelWord Reverse(LabelWord meaning) {
  if (meaning == LabelWord::kGood) return LabelWord::kDefective;
  return meaning == LabelWord::kDefective ? LabelWord::kGood : meaning;
}

// Reads a label with a negation, for example "ohne Defekte" or "anomaly free".
LabelWord ReadNegated(const std::vector<std::string>& words) {
  if (words.size() < 2) return LabelWord::kOther;
  if (Contains(kNegationsBefore, words.front()))
    return Reverse(LookUp(Join({words.begin() + 1, words.end()})));
  if (Contains(kNegationsAfter, words.back()))
    return Reverse(LookUp(Join({words.begin(), words.end() - 1})));
  return LabelWord::kOther;
}

// Step 4 of the rule, for a label without a negation.
LabelWord ReadSeveral(const std::vector<std::string>& words) {
  if (words.size() < 2) return LabelWord::kOther;
  bool all_known = true, good = false, defective = false, agree = true;
  for (const std::string& word : words) {
    const LabelWord meaning = LookUp(word);
    all_known = all_known && meaning != LabelWord::kOther;
    agree = agree && meaning == LookUp(words.front());
    good = good || Contains(kCommonGood, word);
    defective = defective || Contains(kCommonDefective, word);
  }
  if (all_known) return agree ? LookUp(words.front()) : LabelWord::kAmbiguous;
  if (good) return LabelWord::kAmbiguous;
  return defective ? LabelWord::kDefective : LabelWord::kOther;
}

}  // namespace

std::string NormalizeLabel(std::string_view label) {
  const std::vector<std::string> words = RemoveIgnored(Words(label));
  if (!words.empty() && std::all_of(words.begin(), words.end(), IsNumber)) return NumberOf(words);
  return Join(words);
}

const std::vector<LabelEntry>& LabelTable() {
  static const auto* const kTable = [] {
    auto* const table = new std::vector<LabelEntry>;
    for (const std::string_view word : kGoodWords) table->push_back({word, LabelWord::kGood});
    for (const std::string_view word : kDefectiveWords) {
      table->push_back({word, LabelWord::kDefective});
    }
    for (const std::string_view word : kAmbiguousWords) {
      table->push_back({word, LabelWord::kAmbiguous});
    }
    return table;
  }();
  return *kTable;
}

LabelWord ReadLabelWord(std::string_view label) {
  const std::vector<std::string> all = Words(label);
  if (all.size() == 1 && Contains(kAnswers, all.front())) return LabelWord::kAmbiguous;
  const std::string normalized = NormalizeLabel(label);
  LabelWord meaning = LookUp(normalized);
  if (meaning == LabelWord::kOther) meaning = LookUpWithNoun(normalized);
  const std::vector<std::string> words = RemoveIgnored(all);
  if (meaning == LabelWord::kOther) meaning = ReadNegated(words);
  if (meaning == LabelWord::kOther) meaning = ReadSeveral(words);
  return meaning;
}

FolderRole ReadFolderRole(std::string_view folder) {
  std::vector<std::string> words = Words(folder);
  while (words.size() > 1 && IsNumber(words.front())) words.erase(words.begin());
  const std::string name = Join(words);
  if (Contains(kTrainNames, name)) return FolderRole::kTrain;
  if (Contains(kTestNames, name)) return FolderRole::kTest;
  if (Contains(kMaskNames, name)) return FolderRole::kMasks;
  return Contains(kImageNouns, name) ? FolderRole::kImages : FolderRole::kOther;
}

}  // namespace proad::client
