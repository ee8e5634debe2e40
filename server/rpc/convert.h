// Converts the messages of proad/v1/detection.proto to and from the types of server/batching. Pure
// functions: safe to call from any thread.
#pragma once

#include <proad/v1/detection.pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "model/picture/image_limits.h"
#include "server/batching/detection.h"

namespace proad::server {

// The request's id when it is valid, otherwise a random id of 32 hex digits.
std::string RequestId(const v1::DetectRequest& request);

// Checks the request except for the contents of the image. INVALID_ARGUMENT with the field; the
// message states the problem and the limit or the supported values.
//
// The query refers to the image bytes of the request without a copy: the request must outlive it.
// The caller sets the deadline and the cancel flag.
absl::StatusOr<DetectQuery> ParseDetectRequest(const v1::DetectRequest& request,
                                               const model::ImageLimits& limits);

// Moves a detection into the response, whose request_id is set already.
void FillDetectResponse(Detection detection, const std::string& category,
                        v1::DetectResponse& response);

// "NORMAL", "ANOMALOUS" or "UNDECIDED".
const char* VerdictName(Verdict verdict);

}  // namespace proad::server
