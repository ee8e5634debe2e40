// Following a job until it has ended, on a terminal, in a log or for a machine.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "client/channel.h"
#include "client/cli/terminal.h"
#include "proad/v1/training.pb.h"

namespace proad::client {

// Decides what is shown of a job while it goes on. Not thread-safe.
class JobView {
 public:
  enum class Style {
    kBar,    // one line, drawn again in its place
    kLines,  // a line when the activity changes, and every few seconds
    kJson,   // the whole job a line, for every report
  };

  explicit JobView(Style style) : style_(style) {}

  // Prints what is due at `now`.
  void Update(const proad::v1::TrainJob& job, absl::Time now);
  // A remark between the reports.
  void Say(const std::string& text);
  // Takes the bar away.
  void Close() { line_.Clear(); }

 private:
  const Style style_;
  StatusLine line_;
  std::string activity_;  // last printed
  absl::Time printed_ = absl::InfinitePast();
};

struct FollowOptions {
  bool json = false;
  absl::Duration patience = absl::Minutes(10);  // with a server that is gone
  absl::Duration deadline = absl::Seconds(30);  // of the calls beside the watch
};

// Follows the job and prints how it ended. Ctrl-C leaves it, says that it goes on and how to come
// back. Returns kOk only when it SUCCEEDED.
int FollowJob(const std::shared_ptr<grpc::Channel>& channel, const std::string& job_id,
              const FollowOptions& options);

}  // namespace proad::client
