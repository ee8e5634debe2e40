// A ScriptedServer as a program, for tests in other languages: prints its address, serves until its
// standard input ends.
#include <cstdio>

#include "tests/support/scripted_service.h"

int main() {
  proad::testing::ScriptedServer server;
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
