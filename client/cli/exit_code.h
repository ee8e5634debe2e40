// What `proad` tells the shell.
#pragma once

namespace proad::client {

enum ExitCode : int {
  kOk = 0,
  kSomeFailed = 1,
  kUsage = 2,
  kUnreachable = 3,
  kAnomaly = 10,       // with --fail-on-anomaly; stands above kSomeFailed
  kInterrupted = 130,  // by Ctrl-C: what was begun goes on, or can be continued
};

}  // namespace proad::client
