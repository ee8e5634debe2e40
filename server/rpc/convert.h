// Between the messages of proad/v1/detection.proto and our own types. Pure functions: safe to call
// from any thread.
#pragma once

#include <proad/v1/detection.pb.h>

#include <string>

#include "absl/status/statusor.h"
#include "model/picture/image.h"
#include "server/batching/detection.h"

namespace proad::server {

// The request's id if it is one, otherwise a new random one of 32 hex digits.
std::string RequestId(const v1::DetectRequest& request);

// Checks everything that can be checked without looking into the picture. INVALID_ARGUMENT names
// the field, what is wrong with it, and the limit or what is supported.
//
// The query refers to the request's image bytes and does not copy them: the request must outlive
// it. Its deadline and cancel flag are left for the caller to set.
absl::StatusOr<DetectQuery> ParseDetectRequest(const v1::DetectRequest& request,
                                               const model::ImageLimits& limits);

// Moves what was found into the response, which has its request_id already.
void FillDetectResponse(Detection detection, const std::string& category,
                        v1::DetectResponse& response);

// "NORMAL", "ANOMALOUS" or "UNDECIDED".
const char* VerdictName(Verdict verdict);

}  // namespace proad::server
