// From verdicts to alerts: hold, cool-down, re-entry, activation. One pure decision per verdict.
//
//                   crossing                    hold over
//        (closed) ------------> pending ---------------------> firing ---> (closed)
//           |  ^                   |  condition ends: nothing     | clear for resolve.hold:
//           resolved |  '-------------------'                              | instant: closes
//           without an alert | crossing inside the cool-down                       |
//           '----------> waiting --- cool-down over, still true --> as a new crossing
//
// A pending episode stays so while a rule of `inhibited_by` fires. A crossing of a customer whom
// `where` leaves out waits until the customer matches, and is a new one then; once it fires, an
// episode goes on whatever becomes of the customer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "detect/detector.h"
#include "lifecycle/customer_match.h"

namespace heartbeatd {

// Of one rule; constant after configuration.
struct Policy {
  Duration hold{0};                      // must stay true this long before it fires
  Duration resolve_hold{0};              // must stay clear this long before it is resolved
  Duration cooldown{0};                  // from a firing alert to the next crossing that counts
  bool once = false;                     // `reentry: once`: one episode per customer and key, ever
  std::optional<EventTime> active_from;  // earlier crossings build state and alert nobody
  CustomerMatch where;                   // whose crossings count
  std::vector<size_t> inhibited_by;      // indexes of rules whose firing episodes keep it silent
};

// What else there is to know of the customer when a verdict is judged.
struct Circumstances {
  bool matches = true;  // the customer is one of `where`
  // Since when, if that is new: crossings from before count from then on.
  EventTime matches_since = EventTime::Min();
  bool inhibited = false;
  EventTime inhibited_until = EventTime::Min();  // the end of an inhibition that is over just now
};

// One key of one rule of one customer: what is remembered between evaluations.
struct Episode {
  enum class Phase : uint8_t { kClosed, kPending, kFiring, kWaiting };

  std::string key;
  Phase phase = Phase::kClosed;
  EventTime starts_at;  // kPending, kFiring: the crossing
  double value = 0;     // Verdict::value at the crossing, the newest one of the episode
  // kFiring: its alert was not sent (active_from), so its end is not either. kWaiting: for nothing
  // but its end: a change of somebody whom `where` leaves out.
  bool muted = false;
  bool instant = false;                  // kFiring: has no end
  std::optional<EventTime> clear_since;  // kFiring: within resolve_hold
  std::optional<EventTime> last_fired;  // time of the newest firing alert, for cool-down and `once`
  std::string evidence;                 // kPending: the alert's numbers as of the crossing, JSON
  bool operator==(const Episode&) const = default;

  // Nothing worth remembering.
  [[nodiscard]] bool empty() const { return phase == Phase::kClosed && !last_fired; }
};

struct Decision {
  enum class Action : uint8_t { kNone, kFire, kResolve };
  // Why nothing was sent, for `explain` and metrics; what was sent speaks for itself.
  enum class Quiet : uint8_t {
    kNone,
    kNoChange,
    kPending,
    kCooldown,
    kOnce,
    kBeforeActiveFrom,
    kResolveHold,
    kNotMatching,
    kInhibited
  };

  Action action = Action::kNone;
  Quiet quiet = Quiet::kNone;
  EventTime time;  // kFire, kResolve, or an end that nobody is told of: when this edge was due
  bool crossed = false;                     // a new episode began now: its numbers must be taken
  EventTime next_due = EventTime::Never();  // when the policy itself wants to look again
};

std::string_view NameOf(Decision::Quiet quiet);

// Moves the episode on by a verdict of its key. `now` never goes back from call to call.
Decision Advance(const Policy& policy, const Verdict& verdict, EventTime now, Episode* episode,
                 const Circumstances& circumstances = {});

}  // namespace heartbeatd
