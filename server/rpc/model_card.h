// Converts versions to the messages of proad/v1/model.proto. Pure functions: safe to call from any
// thread.
#pragma once

#include <proad/v1/model.pb.h>

#include <cstdint>
#include <string>

#include "model/spec/config.h"
#include "server/serving/model_catalog.h"

namespace proad::server {

v1::ModelState ToProto(ModelState state);

void FillModelSummary(const ListedVersion& listed, v1::ModelSummary& summary);

// The version's manifest must be readable.
void FillModelCard(const ListedVersion& listed, v1::ModelCard& card);

// A threshold that Calibrate set.
void FillRecalibration(const std::string& category, const Recalibration& from, v1::Calibration& to);

// Number of parameters of the network without its encoder: prototypes, bottleneck and decoder
// (Table 1 of the paper).
int64_t TrainableParameters(const model::ModelConfig& config);

}  // namespace proad::server
