// What `proad detect` prints: rows as they come and a summary, for people or for machines.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/folder_labels.h"
#include "client/cli/map_files.h"
#include "client/cli/table.h"
#include "proad/v1/detection.pb.h"

namespace proad::client {

// The result of one picture.
struct DetectRow {
  std::string file;
  absl::StatusOr<proad::v1::DetectResponse> detection;  // its maps are on disk, not in here
  absl::Duration elapsed;  // from the request to the answer, as seen here
  MapFiles maps;
  absl::Status saved;  // whether the maps could be written
};

// Counts what went past.
struct DetectSummary {
  int normal = 0, anomalous = 0, undecided = 0, failed = 0;
  int unreachable = 0;  // of failed: nobody was there to answer
};

// Not thread-safe.
class DetectReport {
 public:
  enum class Style { kTable, kColouredTable, kJson };

  // `files` are the names of the rows to come, for the width of their column.
  DetectReport(Style style, const std::vector<std::string>& files);

  // Lines with newlines, "" for none.
  std::string Header() const;
  std::string Add(const DetectRow& row);
  // `auroc` when the folders of the pictures say which are good.
  std::string Footer(absl::Duration elapsed, const std::optional<AurocReport>& auroc) const;

  const DetectSummary& summary() const { return summary_; }

 private:
  std::string TableRow(const DetectRow& row) const;
  std::string TableFooter(absl::Duration elapsed, const std::optional<AurocReport>& auroc) const;
  std::string JsonFooter(absl::Duration elapsed, const std::optional<AurocReport>& auroc) const;

  const Style style_;
  const Table table_;
  DetectSummary summary_;
  std::string model_;  // of the last answer
};

}  // namespace proad::client
