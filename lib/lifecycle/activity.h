// A customer's activity: new, active, at_risk, dormant, lost, reactivated. The legal transitions
// are a table; time moves a customer down by the lapse score (or fixed days), an event moves it up.
//
//            event                      silence                silence          silence
//   (none) --------> new --4th day--> active --------> at_risk --------> dormant --------> lost
//                     \ silence ------------------------^  ^               |                |
//                     event: back to new/active <----------/               | event          | event
//                                              reactivated <---------------+----------------+
//                        next activity day: active <-'
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "lifecycle/standing.h"
#include "lifecycle/term.h"
#include "measure/lapse.h"
#include "measure/measure.h"

namespace heartbeatd {

enum class Activity : uint8_t { kNone, kNew, kActive, kAtRisk, kDormant, kLost, kReactivated };
inline constexpr size_t kActivityCount = 7;

// "none", "new", "active", "at_risk", "dormant", "lost", "reactivated".
std::string_view NameOf(Activity activity);
std::optional<Activity> ActivityOf(std::string_view name);

// Whether the table has this transition.
bool IsLegal(Activity from, Activity to);

// Constant after configuration.
struct LifecycleConfig {
  static constexpr uint32_t kNewDays = 4;  // activity days from which a customer has a rhythm
  // For at_risk, dormant, lost, in this order.
  double false_alerts[3] = {0.05, 0.01, 0.002};  // per customer-week, of customers with a rhythm
  double new_gaps[3] = {2, 3, 6};                // times m0, of customers who are still new
  std::optional<Duration> after[3];              // fixed time since the last event instead of both
  double population_gap_days = 60;               // m0
  Duration horizon = std::chrono::hours(24) * 3650;

  // Some rule looks at the customer when his activity changes. Else it has no deadlines: it is
  // brought up to date when the customer is next looked at, to what it would have become anyway.
  bool watched = false;

  // What is remembered only where some rule or some alert wants it.
  TermFields term_fields;
  bool tracks_terms = false;
  StandingConfig standing;
};

// What is remembered of a customer's life cycle. Default: not seen yet.
struct LifecycleState {
  Activity activity = Activity::kNone;
  Activity previous = Activity::kNone;
  EventTime since;  // of `activity`; meaningless while it is kNone
  int32_t since_day =
      0;  // the pulse's activity day at that time: tells a new one for reactivated -> active
  std::vector<Term> terms;
  Standing standing;
  bool operator==(const LifecycleState&) const = default;
};

// An event of the pulse, already applied to `pulse`, has come: `at` is its own time, `now` the
// shard's clock. A late one from before the newest event says nothing new of the customer's
// silence; one from before the present activity began corrects it as of now. Returns true if the
// activity changed.
bool OnPulse(const MeasureState& pulse, EventTime at, EventTime now, LifecycleState* state);

// When silence changes the activity next, if no event comes; Never() if it does not.
EventTime NextSilence(const LifecycleConfig& config, const MeasureState& pulse,
                      const LifecycleState& state);

// Takes the step down that is due at `due`, which NextSilence() has said.
void StepDown(const MeasureState& pulse, EventTime due, LifecycleState* state);

// Takes at most one step down that is due at or before `now`; true if it did. `state->since` is
// then the moment at which it was due.
bool OnSilence(const LifecycleConfig& config, const MeasureState& pulse, EventTime now,
               LifecycleState* state);

}  // namespace heartbeatd
