// The judgement that `silence` and `alive` share: a gap since the last event of a measure fires at
// one moment, and the next event ends it.
#pragma once

#include "detect/detector.h"

namespace heartbeatd {

// Fills in *verdict: firing from `due` on, clear before it. Returns when it changes without an
// event. `measure` has been seen.
EventTime JudgeGap(const Subject& subject, const MeasureState& measure, EventTime due,
                   Reason firing, Verdict* verdict);

}  // namespace heartbeatd
