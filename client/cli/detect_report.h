// Output of `proad detect`: one row per image and a summary, as a table or as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/folder_labels.h"
#include "client/cli/map_files.h"
#include "client/cli/skipped_files.h"
#include "client/cli/table.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// The result of one image.
struct DetectRow {
  std::string file;
  absl::StatusOr<proad::v1::DetectResponse> detection;  // without its maps, which are on disk
  absl::Duration elapsed;  // time from the request to the response, measured by the client
  MapFiles maps;
  absl::Status saved;  // error of writing the maps
};

// Counts of the results.
struct DetectSummary {
  int normal = 0, anomalous = 0, undecided = 0, failed = 0;
  int unreachable = 0;  // those of `failed` for which no server was reached
};

// Not thread-safe.
class DetectReport {
 public:
  enum class Style { kTable, kColouredTable, kJson };

  // `files` are the names in all later rows; they determine the width of the first column.
  DetectReport(Style style, const std::vector<std::string>& files);

  // Return lines with newlines, or "".
  std::string Header() const;
  std::string Add(const DetectRow& row);
  // `auroc`: nullopt when the folders' names are no labels.
  std::string Footer(absl::Duration elapsed, const SkippedFiles& skipped,
                     const std::optional<AurocReport>& auroc) const;

  const DetectSummary& summary() const { return summary_; }

 private:
  std::string TableRow(const DetectRow& row) const;
  std::string SummaryText(absl::Duration elapsed) const;
  std::string JsonFooter(absl::Duration elapsed, const SkippedFiles& skipped,
                         const std::optional<AurocReport>& auroc) const;

  const Style style_;
  const Table table_;
  DetectSummary summary_;
  std::string model_;  // name@version in the last response
};

}  // namespace proad::client
