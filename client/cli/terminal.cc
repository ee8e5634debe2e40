#include "client/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace proad::client {
namespace {

constexpr size_t kDefaultWidth = 80;
constexpr char kEraseToEnd[] = "\x1b[K";

}  // namespace

bool OutputIsTerminal() {
  const char* const kind = std::getenv("TERM");
  return isatty(STDOUT_FILENO) && kind != nullptr && std::string_view(kind) != "dumb";
}

bool WantsColour() { return isatty(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr; }

size_t TerminalWidth() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

std::string Red(const std::string& text, bool colour) {
  return colour ? absl::StrCat("\x1b[31m", text, "\x1b[0m") : text;
}

std::string Green(const std::string& text, bool colour) {
  return colour ? absl::StrCat("\x1b[32m", text, "\x1b[0m") : text;
}

void StatusLine::Draw(const std::string& text) {
  std::cout << "\r" << text << kEraseToEnd << std::flush;
  drawn_ = true;
}

void StatusLine::Clear() {
  if (!drawn_) return;
  std::cout << "\r" << kEraseToEnd << std::flush;
  drawn_ = false;
}

}  // namespace proad::client
