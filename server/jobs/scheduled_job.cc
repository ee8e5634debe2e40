#include "server/jobs/scheduled_job.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace proad::server {

absl::Status ScheduledJob::Replace(JobRecord next) {
  if (next.state != record_.state && !CanMove(record_.state, next.state)) {
    return absl::InternalError(absl::StrCat("job ", id_, " cannot become ", NameOf(next.state),
                                            "; it is ", NameOf(record_.state)));
  }
  record_ = std::move(next);
  return absl::OkStatus();
}

TrainJob ScheduledJob::View() const {
  TrainJob view = {.id = id_,
                   .request_id = record_.request_id,
                   .spec = spec_,
                   .state = record_.state,
                   .reason = record_.reason,
                   .reason_code = record_.reason_code,
                   .created = record_.created,
                   .started = record_.started,
                   .ended = record_.ended,
                   .updated = record_.updated,
                   .queue_position = record_.state == JobState::kQueued ? queue_position : 0,
                   .attempts = record_.attempts,
                   .progress = {},
                   .outcome = record_.outcome,
                   .activation = record_.activation};
  if (record_.attempts == 0) return view;
  view.progress = JobProgress{.train = {}, .elapsed = record_.ran};
  if (!progress) return view;
  view.progress->train = progress->train;
  view.updated = std::max(record_.updated, progress->time);
  if (record_.attempt_started != absl::InfinitePast()) {
    view.progress->elapsed +=
        std::max(progress->time - record_.attempt_started, absl::ZeroDuration());
  }
  return view;
}

}  // namespace proad::server
