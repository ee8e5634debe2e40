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
    "conforming", "healthy",
    // German
    "io", "inordnung", "gut", "gutteil", "gutteile", "fehlerfrei", "fehlerlos", "mangelfrei",
    "defektfrei", "keinfehler",
    // French, Spanish, Portuguese, Italian, Romanian
    "bon", "bonne", "bons", "bonnes", "conforme", "conformes", "sansdefaut", "sansdefauts", "bueno",
    "buena", "buenos", "buenas", "sindefecto", "sindefectos", "aprobado", "bom", "boa", "boas",
    "semdefeito", "semdefeitos", "aprovado", "buono", "buona", "buoni", "senzadifetti",
    "senzadifetto", "bun", "buna",
    // Dutch, Swedish, Danish, Norwegian, Finnish
    "goed", "goedgekeurd", "godkand", "godkant", "godkendt", "godkjent", "felfri", "hyva",
    // Polish, Czech, Hungarian, Turkish
    "dobry", "dobra", "dobre", "bezwad", "bezvad", "bezvady", "hibatlan", "iyi", "hatasiz",
    "saglam",
    // Russian
    "годен", "годныи", "годные", "хорошо", "хорошии", "хорошие", "норма", "безбрака", "бездефектов",
    // Chinese, Japanese, Korean
    "良", "良品", "良好", "好", "好品", "合格", "合格品", "正常", "正常品", "正品", "无缺陷",
    "無缺陷", "无瑕疵", "無瑕疵", "異常なし", "欠陥なし", "ok品", "양품", "정상", "정상품", "양호",
    "합격", "\u110b\u1163\u11bc\u1111\u116e\u11b7", "\u110c\u1165\u11bc\u1109\u1161\u11bc",
    "\u110b\u1163\u11bc\u1112\u1169", "\u1112\u1161\u11b8\u1100\u1167\u11a8"};

constexpr std::string_view kDefectiveWords[] = {
    // English
    "bad", "ng", "nok", "ko", "notok", "nogood", "notgood", "defect", "defects", "defective",
    "defectives", "defected", "fault", "faults", "faulty", "fail", "failed", "failure", "reject",
    "rejected", "rejects", "scrap", "abnormal", "anomaly", "anomalies", "anomalous", "notnormal",
    "nonconforming", "nonconform", "unacceptable",
    // German
    "nio", "nichtio", "nichtinordnung", "nichtok", "schlecht", "schlechtteil", "schlechtteile",
    "defekt", "defekte", "fehler", "fehlerhaft", "ausschuss", "ausschus", "mangelhaft",
    // French, Spanish, Portuguese, Italian, Romanian
    "mauvais", "mauvaise", "mauvaises", "defaut", "defauts", "defectueux", "defectueuse",
    "nonconforme", "nonconformes", "rebut", "malo", "mala", "malos", "malas", "defecto", "defectos",
    "defectuoso", "defectuosa", "defectuosos", "noconforme", "rechazado", "ruim", "defeito",
    "defeitos", "defeituoso", "naoconforme", "reprovado", "difetto", "difetti", "difettoso",
    "difettosi", "scarto", "scarti", "cattivo", "rau",
    // Dutch, Swedish, Danish, Norwegian, Finnish
    "slecht", "afgekeurd", "fout", "fouten", "felaktig", "felaktiga", "underkand", "underkant",
    "fejl", "feil", "viallinen",
    // Polish, Czech, Hungarian, Turkish
    "zly", "zla", "zle", "wadliwy", "wadliwe", "wada", "wady", "brak", "braki", "vadny", "vadne",
    "vada", "zmetek", "zmetky", "rossz", "hibas", "selejt", "kotu", "hatali", "kusurlu",
    // Russian
    "брак", "бракованныи", "дефект", "дефекты", "дефектныи", "плохо", "плохои", "плохие", "негоден",
    "негодныи",
    // Chinese, Japanese, Korean
    "不良", "不良品", "坏", "坏品", "次品", "废品", "廢品", "不合格", "不合格品", "异常", "異常",
    "異常品", "缺陷", "有缺陷", "瑕疵", "欠陥", "欠陥品", "ng品", "불량", "불량품", "비정상",
    "불합격", "결함", "\u1107\u116e\u11af\u1105\u1163\u11bc",
    "\u1107\u116e\u11af\u1105\u1163\u11bc\u1111\u116e\u11b7",
    "\u1107\u1175\u110c\u1165\u11bc\u1109\u1161\u11bc",
    "\u1107\u116e\u11af\u1112\u1161\u11b8\u1100\u1167\u11a8",
    "\u1100\u1167\u11af\u1112\u1161\u11b7"};

// A test is positive when it finds a defect, but a positive example is also a good one.
constexpr std::string_view kAmbiguousWords[] = {
    "positive",  "positives", "positiv", "positif",  "positivo", "pos",  "negative",
    "negatives", "negativ",   "negatif", "negativo", "neg",      "true", "false",
    "阳性",      "陽性",      "阴性",    "陰性",     "양성",     "음성"};

// Ignored beside another word.
constexpr std::string_view kNouns[] = {
    "part",    "parts",    "image",   "images",   "img",   "imgs",   "sample", "samples",
    "picture", "pictures", "photo",   "photos",   "piece", "pieces", "item",   "items",
    "product", "products", "example", "examples", "teil",  "teile",  "bild",   "bilder"};

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
  constexpr std::u32string_view kSeparators = U" \t\r\n_-.,;()[]\u00A0\u3000\u2013";
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

bool IsNumber(std::string_view word) {
  return std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsIgnored(std::string_view word) {
  return IsNumber(word) ||
         std::find(std::begin(kNouns), std::end(kNouns), word) != std::end(kNouns);
}

std::vector<std::string> Words(std::string_view label) {
  std::vector<std::string> words(1);
  for (size_t at = 0; at < label.size();) {
    const char32_t code = NextCharacter(label, at);
    const char32_t folded = Fold(code);
    if (IsSeparator(folded)) {
      if (!words.back().empty()) words.emplace_back();
    } else if (!IsCombiningMark(code)) {
      AppendUtf8(folded, words.back());
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

std::string NormalizeLabel(std::string_view label) {
  std::vector<std::string> words = Words(label);
  if (!std::all_of(words.begin(), words.end(), IsIgnored)) std::erase_if(words, IsIgnored);
  std::string normalized;
  for (const std::string& word : words) normalized += word;
  return normalized;
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
  static const auto* const kMeanings = [] {
    auto* const meanings = new std::unordered_map<std::string_view, LabelWord>;
    for (const LabelEntry& entry : LabelTable()) meanings->emplace(entry.word, entry.meaning);
    return meanings;
  }();
  const auto found = kMeanings->find(NormalizeLabel(label));
  return found == kMeanings->end() ? LabelWord::kOther : found->second;
}

}  // namespace proad::client
