#include "detect/reason.h"

namespace heartbeatd {

std::string_view NameOf(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "none";
    case Reason::kBelowBaseline:
      return "below_baseline";
    case Reason::kAboveBaseline:
      return "above_baseline";
    case Reason::kSilentTooLong:
      return "silent_too_long";
    case Reason::kBelowThreshold:
      return "below_threshold";
    case Reason::kAboveThreshold:
      return "above_threshold";
    case Reason::kFollowUpMissing:
      return "follow_up_missing";
    case Reason::kDeadlineNear:
      return "deadline_near";
    case Reason::kDeadlineReached:
      return "deadline_reached";
    case Reason::kLowScore:
      return "low_score";
    case Reason::kScoreFell:
      return "score_fell";
    case Reason::kBehavioursMissing:
      return "behaviours_missing";
    case Reason::kProbablyGone:
      return "probably_gone";
    case Reason::kLateFollowUp:
      return "late_follow_up";
    case Reason::kStartedAgain:
      return "started_again";
    case Reason::kExpired:
      return "expired";
    case Reason::kRenewed:
      return "renewed";
    case Reason::kCancelled:
      return "cancelled";
    case Reason::kBetterAnswer:
      return "better_answer";
    case Reason::kAllAdopted:
      return "all_adopted";
    case Reason::kNoLongerEngaged:
      return "no_longer_engaged";
    case Reason::kTooFewRepeats:
      return "too_few_repeats";
    case Reason::kNotEngaged:
      return "not_engaged";
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
    case Reason::kFellBack:
      return "fell_back";
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
