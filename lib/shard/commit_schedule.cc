#include "shard/commit_schedule.h"

#include <algorithm>

namespace heartbeatd {

bool CommitSchedule::IsDue(const Uncommitted& what, Duration now) const {
  if (what.changed) {
    const int64_t intervals =
        IsBehind(what.lag)
            ? std::clamp<int64_t>(kBehindMax / options_.interval, 1, kBehindIntervals)
            : 1;
    if (TurnAt(now) - TurnAt(begun_) >= intervals) return true;
  }
  return what.moved && now - position_committed_ >= options_.position_age_max;
}

int64_t CommitSchedule::TurnAt(Duration monotonic) const {
  return (monotonic + options_.interval - options_.offset) / options_.interval;
}

bool CommitSchedule::IsBehind(int64_t lag) const {
  return lag >= static_cast<int64_t>(options_.events_max);
}

}  // namespace heartbeatd
