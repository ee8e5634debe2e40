// An evaluation as an HTML page that loads nothing from elsewhere.
//
// Pure function; safe to call from any thread.
#pragma once

#include <string>
#include <vector>

#include "model/dataset/dataset.h"
#include "model/spec/evaluation.h"
#include "model/spec/manifest.h"

namespace proad::server {

// The page has the metrics; then for each category a histogram of the scores of good and defective
// images, the image_auroc of each kind of defect, and the good images with the highest and the
// defective images with the lowest scores.
std::string EvaluationPage(const model::Manifest& manifest, const model::Dataset& dataset,
                           const model::Evaluation& evaluation,
                           const std::vector<std::string>& skipped);

}  // namespace proad::server
