// Watches a job until it ends and prints its progress for a terminal, a log or a program.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/cli/terminal.h"
#include "proad/v1/model.pb.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

// Prints the progress of a running job. Not thread-safe.
class JobView {
 public:
  enum class Style {
    kBar,    // one line, redrawn in place
    kLines,  // one line when the activity changes, and every 5 seconds
    kJson,   // the complete job in one line, for every report
  };

  explicit JobView(Style style) : style_(style) {}

  // Prints the job, unless the style prints it less often.
  void Update(const proad::v1::TrainJob& job, absl::Time now);
  // Prints a message to standard error.
  void PrintMessage(const std::string& text);
  // Removes the bar.
  void Close() { line_.Clear(); }

 private:
  const Style style_;
  StatusLine line_;
  std::string activity_;  // the last printed one
  absl::Time printed_ = absl::InfinitePast();
};

struct JobWatchOptions {
  bool json = false;
  absl::Duration patience = absl::Minutes(10);  // longest time without a reachable server
  absl::Duration deadline = absl::Seconds(30);  // of calls other than the watch
};

// Watches the job and prints its result. Ctrl-C ends the watch and prints how to resume it; the job
// continues. Returns kOk only when the job SUCCEEDED.
int WatchJob(const std::shared_ptr<grpc::Channel>& channel, const std::string& job_id,
             const JobWatchOptions& options);

// Returns the card of the version that the job published. NOT_FOUND when it published none.
absl::StatusOr<proad::v1::ModelCard> ResultCard(const std::shared_ptr<grpc::Channel>& channel,
                                                const proad::v1::TrainJob& job,
                                                const CallOptions& call);

}  // namespace proad::client
