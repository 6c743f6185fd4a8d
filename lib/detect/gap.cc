#include "detect/gap.h"

#include <algorithm>

namespace heartbeatd {

EventTime JudgeGap(const Subject& subject, const MeasureState& measure, EventTime due,
                   Reason firing, Verdict* verdict) {
  const OpenEpisode* open = subject.open.empty() ? nullptr : &subject.open.front();
  // The last event as of the crossing tells whether one has come since, of which nobody knows yet.
  verdict->value = static_cast<double>(measure.last.ms());
  const bool ended = open != nullptr && open->value != verdict->value && !open->ending;
  if (due <= subject.now && !ended) {
    verdict->condition = Condition::kFiring;
    verdict->reason = firing;
    verdict->since = due;
    return EventTime::Never();
  }
  verdict->condition = Condition::kClear;
  // The event that ends it lies after the crossing; one from before it shows that the customer was
  // never silent for so long.
  const bool corrected = open != nullptr && measure.last < open->starts_at;
  verdict->reason = open == nullptr ? Reason::kStillActive
                    : corrected     ? Reason::kCorrected
                                    : Reason::kActivityResumed;
  verdict->since = corrected || open == nullptr ? subject.now : measure.last;
  // A late event may leave the next crossing in the past too: it is judged right after this end.
  return std::max(due, subject.now + Duration(1));
}

}  // namespace heartbeatd
