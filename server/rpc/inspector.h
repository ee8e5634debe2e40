// Handles one DetectRequest, for Detect and for DetectStream.
#pragma once

#include <proad/v1/detection.pb.h>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/detector.h"
#include "server/batching/output_budget.h"
#include "server/telemetry/metrics.h"

namespace proad::server {

// Thread-safety: Inspect may be called from any thread. The detector is not owned.
class Inspector {
 public:
  // Gets the status and the memory that is reserved for the response: keep it until the response is
  // written.
  using Done = absl::AnyInvocable<void(absl::Status, OutputBudget::Reservation)>;

  // `rpc` names the method in the metrics.
  Inspector(std::string rpc, Detector& detector, Metrics& metrics);

  // Checks the request, runs the detector, fills the response, counts and logs. Calls `done`
  // exactly once, as Detector::Detect does. Sets request_id of the response in every case, the
  // other fields with an OK status only. Request and response must live until `done` is called.
  void Inspect(const v1::DetectRequest& request, absl::Time deadline, CancelFlag cancelled,
               v1::DetectResponse& response, Done done);

  Detector& detector() { return detector_; }

 private:
  Detector& detector_;
  RpcMetrics metrics_;
};

}  // namespace proad::server
