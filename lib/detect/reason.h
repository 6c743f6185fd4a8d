// Why a verdict or an alert is what it is: a closed list. The names are part of the interface (the
// alert's `reason`, a metric label) and documented in docs/alerts.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace heartbeatd {

enum class Reason : uint8_t {
  kNone,
  // Firing.
  kBelowBaseline,     // dropping
  kSilentTooLong,     // silence
  kActivityChanged,   // transition of activity
  kStageChanged,      // ... of stage
  kActiveTypeGained,  // ... of active_type
  kActiveTypeLost,
  // Resolved.
  kRecovered,        // the window came back up
  kBaselineFaded,    // only the baseline sank to it
  kActivityResumed,  // an event ended the silence
  kCorrected,        // a late event or a refund shows that it was never so
  // Never alerts; seen in `explain` and in tests.
  kZeroBaseline,
  kBaselineTooSmall,
  kObservedTooShort,
  kTooFewDays,
  kNothingSeen,
  kWithinLimits,
  kStillActive,
  kNoSuchTransition,
};

// "below_baseline", "activity_resumed", ...
std::string_view NameOf(Reason reason);

}  // namespace heartbeatd
