// Why a verdict or an alert is what it is: a closed list. The names are part of the interface (the
// alert's `reason`, a metric label) and documented in docs/alerts.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace heartbeatd {

enum class Reason : uint8_t {
  kNone,
  // Firing.
  kBelowBaseline,      // dropping
  kAboveBaseline,      // increasing
  kSilentTooLong,      // silence
  kBelowThreshold,     // threshold: below
  kAboveThreshold,     // threshold: above (at or above)
  kFollowUpMissing,    // follow_up: what was expected did not come in time
  kDeadlineNear,       // deadline: so long before the date
  kDeadlineReached,    // deadline: the date itself
  kLowScore,           // score: an answer below the threshold
  kScoreFell,          // score: an answer clearly below the one before
  kBehavioursMissing,  // encourage
  kProbablyGone,       // alive
  kActivityChanged,    // transition of activity
  kStageChanged,       // ... of stage
  kActiveTypeGained,   // ... of active_type
  kActiveTypeLost,
  // Resolved.
  kRecovered,        // the window is back within what is usual, or no longer below the threshold
  kFellBack,         // no longer above the threshold
  kBaselineFaded,    // only the baseline moved, to where the window is
  kActivityResumed,  // an event ended the silence
  kLateFollowUp,     // what was expected came after all
  kStartedAgain,     // the time runs anew, from another beginning
  kExpired,          // nobody waits for its end any longer
  kRenewed,          // the term goes on
  kCancelled,        // the term was ended on purpose
  kBetterAnswer,     // a better score
  kAllAdopted,       // no behaviour is missing any more
  kNoLongerEngaged,  // the customer must be won back before being encouraged
  kCorrected,        // a late event or a refund shows that it was never so
  // Never alerts; seen in `explain` and in tests.
  kZeroBaseline,
  kBaselineTooSmall,
  kObservedTooShort,
  kTooFewDays,
  kNothingSeen,
  kWithinLimits,
  kStillActive,
  kTooFewRepeats,
  kNotEngaged,
  kNoSuchTransition,
};

// "below_baseline", "activity_resumed", ...
std::string_view NameOf(Reason reason);

}  // namespace heartbeatd
