#include "detect/reason.h"

namespace heartbeatd {

std::string_view NameOf(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kBelowBaseline:
      return "below_baseline";
    case Reason::kSilentTooLong:
      return "silent_too_long";
    case Reason::kActivityChanged:
      return "activity_changed";
    case Reason::kStageChanged:
      return "stage_changed";
    case Reason::kActiveTypeGained:
      return "active_type_gained";
    case Reason::kActiveTypeLost:
      return "active_type_lost";
    case Reason::kRecovered:
      return "recovered";
    case Reason::kBaselineFaded:
      return "baseline_faded";
    case Reason::kActivityResumed:
      return "activity_resumed";
    case Reason::kCorrected:
      return "corrected";
    case Reason::kZeroBaseline:
      return "zero_baseline";
    case Reason::kBaselineTooSmall:
      return "baseline_too_small";
    case Reason::kObservedTooShort:
      return "observed_too_short";
    case Reason::kTooFewDays:
      return "too_few_days";
    case Reason::kNothingSeen:
      return "nothing_seen";
    case Reason::kWithinLimits:
      return "within_limits";
    case Reason::kStillActive:
      return "still_active";
    case Reason::kNoSuchTransition:
      return "no_such_transition";
  }
  __builtin_unreachable();
}

}  // namespace heartbeatd
