// An evaluation as a page for a browser, whole in itself: nothing is loaded from elsewhere.
//
// Pure function; safe to call from any thread.
#pragma once

#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"

namespace proad::server {

// The figures; and of each category how the scores of good and defective pictures lie beside each
// other, how well each kind of defect is told, and the pictures that are furthest on the wrong
// side.
std::string EvaluationPage(const model::Manifest& manifest, const model::Dataset& dataset,
                           const model::Evaluation& evaluation,
                           const std::vector<std::string>& skipped);

}  // namespace proad::server
