#include "model/files/csv.h"

#include <utility>

#include "model/files/error.h"
#include "model/files/text.h"

namespace proad::model {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& source, const CsvLimits& limits)
      : text_(text), source_(source), limits_(limits) {}

  std::vector<CsvRow> Parse() {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
    while (at_ < text_.size()) {
      if (AtLineEnd()) {
        SkipLineEnd();
      } else {
        if (rows_.empty()) separator_ = FindSeparator();
        AddRow();
      }
    }
    return std::move(rows_);
  }

 private:
  [[noreturn]] void Damaged(const std::string& message) const {
    throw InvalidInput("dataset", "CSV_DAMAGED",
                       source_ + ":" + std::to_string(line_) + ": " + message);
  }

  // Returns the separator in the first row, the only one that occurs outside of quotes.
  char FindSeparator() const {
    constexpr std::string_view kSeparators = ",;\t";
    std::string found;
    bool quoted = false;
    for (size_t at = at_; at < text_.size() && (quoted || text_[at] != '\n'); ++at) {
      if (text_[at] == '"') quoted = !quoted;
      const bool separates = !quoted && kSeparators.find(text_[at]) != std::string_view::npos;
      if (separates && found.find(text_[at]) == std::string::npos) found.push_back(text_[at]);
    }
    if (found.size() > 1) {
      Damaged(
          "the header has commas, semicolons or tabs side by side; separate the columns by one "
          "of them");
    }
    return found.empty() ? ',' : found.front();
  }

  bool AtLineEnd() const {
    return text_[at_] == '\n' || (text_[at_] == '\r' && text_.substr(at_, 2) == "\r\n");
  }
  void SkipLineEnd() {
    at_ += text_[at_] == '\r' ? 2 : 1;
    ++line_;
  }

  void AddRow() {
    if (rows_.size() == limits_.rows)
      Damaged("more than " + std::to_string(limits_.rows) + " rows");
    CsvRow row{.line = line_, .fields = {}};
    bool more = true;
    while (more) {
      if (row.fields.size() == limits_.columns)
        Damaged("more than " + std::to_string(limits_.columns) + " columns");
      row.fields.push_back(at_ < text_.size() && text_[at_] == '"' ? QuotedField() : PlainField());
      if (!IsUtf8(row.fields.back())) Damaged("not UTF-8: " + Quote(row.fields.back()));
      more = at_ < text_.size() && text_[at_] == separator_;
      if (more) ++at_;
    }
    if (at_ < text_.size()) SkipLineEnd();
    if (!rows_.empty() && row.fields.size() != rows_.front().fields.size()) {
      line_ = row.line;
      Damaged(std::to_string(row.fields.size()) + " fields, but the header has " +
              std::to_string(rows_.front().fields.size()));
    }
    rows_.push_back(std::move(row));
  }

  std::string PlainField() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != separator_ && !AtLineEnd()) {
      if (text_[at_] == '"') Damaged("a quote inside a field that does not begin with a quote");
      ++at_;
    }
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string QuotedField() {
    const int64_t first_line = line_;
    std::string field;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '"') {
        field.push_back(text_[at_]);
      } else if (text_.substr(at_ + 1, 1) == "\"") {
        field.push_back('"');
        ++at_;
      } else {
        ++at_;
        if (at_ < text_.size() && text_[at_] != separator_ && !AtLineEnd())
          Damaged("text after a closing quote; write a quote inside a quoted field twice");
        return field;
      }
    }
    line_ = first_line;
    Damaged("a quoted field without a closing quote");
  }

  const std::string_view text_;
  const std::string& source_;
  const CsvLimits& limits_;
  char separator_ = ',';
  size_t at_ = 0;
  int64_t line_ = 1;
  std::vector<CsvRow> rows_;
};

}  // namespace

std::vector<CsvRow> ParseCsv(std::string_view text, const std::string& source,
                             const CsvLimits& limits) {
  return Parser(text, source, limits).Parse();
}

}  // namespace proad::model
