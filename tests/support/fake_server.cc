// A ScriptedServer as a program, for tests in other languages: prints its address, serves until its
// standard input ends. With the word "not-serving" its health service says so.
#include <cstdio>
#include <string_view>

#include "tests/support/scripted_service.h"

int main(int argc, char** argv) {
  proad::testing::ScriptedServer server;
  server.SetServing(argc < 2 || std::string_view(argv[1]) != "not-serving");
  std::printf("%s\n", server.address().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
