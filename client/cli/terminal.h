// Standard output as a terminal: capabilities, colours and a status line.
#pragma once

#include <cstddef>
#include <string>

namespace proad::client {

// Returns true when standard output is a terminal that can redraw a line.
bool OutputIsTerminal();

// Returns true when standard output is a terminal and NO_COLOR is not set.
bool WantsColour();

// Returns the present number of columns of the terminal; 80 when unknown.
size_t TerminalWidth();

// Return the text with escape sequences for the colour, or unchanged if `colour` is false.
std::string Red(const std::string& text, bool colour);
std::string Green(const std::string& text, bool colour);

// The last line of the output, which is redrawn in place. Not thread-safe.
class StatusLine {
 public:
  StatusLine() = default;
  ~StatusLine() { Clear(); }

  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  // The text must fit into TerminalWidth() - 1 columns.
  void Draw(const std::string& text);
  // Removes the line, so that other output can follow.
  void Clear();

 private:
  bool drawn_ = false;
};

}  // namespace proad::client
