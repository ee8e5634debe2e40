// Standard output as a terminal, when it is one.
#pragma once

#include <cstddef>
#include <string>

namespace proad::client {

// A terminal on which a line can be drawn again.
bool OutputIsTerminal();

// On a terminal, unless NO_COLOR is set.
bool WantsColour();

// Columns of the terminal now; 80 when it does not say.
size_t TerminalWidth();

// The text as the escape sequences of a terminal mark it; as it is without `colour`.
std::string Red(const std::string& text, bool colour);
std::string Green(const std::string& text, bool colour);

// A last line of the output that is drawn again and again in its place. Not thread-safe.
class StatusLine {
 public:
  StatusLine() = default;
  ~StatusLine() { Clear(); }

  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // The text must fit into TerminalWidth() - 1 columns.
  void Draw(const std::string& text);
  // Makes room for other output.
  void Clear();

 private:
  bool drawn_ = false;
};

}  // namespace proad::client
