// Exit codes of `proad`.
#pragma once

namespace proad::client {

enum ExitCode : int {
  kOk = 0,
  kSomeFailed = 1,     // an image or a call failed
  kUsage = 2,          // invalid command line
  kUnreachable = 3,    // no server was reached
  kAnomaly = 10,       // an image is anomalous, with --fail-on-anomaly; has precedence over 1
  kInterrupted = 130,  // Ctrl-C; a job continues, and an upload can be continued
};

}  // namespace proad::client
