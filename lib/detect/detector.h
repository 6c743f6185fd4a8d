// What a detector is: a pure function of one customer's state and a time that says firing, clear or
// insufficient, why, and when its answer can change if no event comes. No clock, no I/O, no
// logging.
//
// To add one: a file with a Make function (see dropping.cc), a row in detectors.cc, a test file.
// The shard, the store and the alert policy know none of them by name.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/calendar.h"
#include "base/json_text.h"
#include "base/node.h"
#include "base/time.h"
#include "detect/reason.h"
#include "event/event.h"
#include "lifecycle/activity.h"
#include "measure/measure.h"

namespace heartbeatd {

enum class Condition : uint8_t {
  kInsufficient,  // not enough is known: never begins an episode, never ends one
  kClear,
  kFiring,
};

// A detector's answer for one key. Detectors of single conditions use the empty key; `follow_up`
// and `deadline` one key per correlation id or date, so that several episodes can run at once.
struct Verdict {
  std::string key;
  Condition condition = Condition::kInsufficient;
  Reason reason = Reason::kNone;
  EventTime since;   // when the condition began to hold: the crossing (kFiring), the end (kClear)
  double value = 0;  // the number it is about; the episode remembers it as of the crossing
  bool instant = false;  // kFiring: a change, not a condition: one alert, no end
};

// An episode of this rule that is pending or firing, as the detector may want to know it.
struct OpenEpisode {
  std::string_view key;
  bool firing = false;
  EventTime starts_at;
  double value = 0;     // Verdict::value at the crossing
  bool ending = false;  // it has been said to be clear, and `resolve.hold` is not over
};

// Everything a detector may look at. References live for the call.
struct Subject {
  std::span<const MeasureDef> measure_defs;
  std::span<const MeasureState> measures;  // parallel to measure_defs
  const Calendar& calendar;
  const LifecycleState& lifecycle;
  const Event* event =
      nullptr;        // the event that is being applied (already in the measures), if any
  bool late = false;  // that event came after `now` had passed it, or is a refund
  EventTime now;
  std::span<const OpenEpisode> open;  // of this rule
  bool quiet =
      true;  // nothing is remembered of any episode of this rule, open, waiting or cooling down
  EventTime due = EventTime::Never();  // what `evaluate` returned last, as far as it is still ahead
  std::string* memory = nullptr;  // the detector's own bytes in the customer's state; may change
};

// A configured detector. Constant and thread-safe after Make.
struct Detector {
  // Appends one verdict per key that it has something to say about. Returns the earliest time after
  // `now` at which a verdict can change without an event; Never() if none can. One that remembers
  // events may be shown the same one twice: the second time must change nothing.
  std::function<EventTime(const Subject&, std::vector<Verdict>*)> evaluate;
  // Writes the alert's documented fields for this verdict (observed, baseline, ...) as members,
  // from the same subject for which `evaluate` gave it. Called only when an alert or a pending
  // episode needs them.
  std::function<void(const Subject&, const Verdict&, JsonText*)> explain;

  // When to evaluate, besides at its own due times: events that touch one of these measures, any
  // event of these types, a change of the life cycle.
  std::vector<int> measures;
  std::vector<int> types;
  bool on_lifecycle = false;
};

// What Make may use and what it asks for.
struct DetectorContext {
  const std::vector<MeasureDef>& measures;
  LifecycleConfig& lifecycle;  // Make may switch on what it tracks
  EventSchema& schema;         // names that the rule mentions are added
  // Closed buckets that the rule needs of each measure; raised by Make.
  std::vector<int32_t>& buckets_needed;

  // Reads the file that `fields` names under "model" (docs/rules.md, "Model files"): a map. Nothing
  // if it names none, or after an error.
  std::function<std::optional<Node>(MapReader& fields)> model;

  // The measure that `fields` names under "measure"; -1 after an error.
  int Measure(MapReader& fields) const;
};

// One row of the table of detectors. `make` reads its own fields of the rule and reports mistakes
// to the reader's findings; what it returns is used only if there were none.
struct DetectorType {
  std::string_view name;
  Detector (*make)(MapReader& fields, const DetectorContext& context);
  bool reads_resolve =
      false;  // has thresholds of its own under 'resolve', beside the policy's 'hold'
};

// All there are; nullptr for an unknown name.
std::span<const DetectorType> AllDetectors();
const DetectorType* FindDetector(std::string_view name);

// The rows.
Detector MakeAlive(MapReader& fields, const DetectorContext& context);
Detector MakeDeadline(MapReader& fields, const DetectorContext& context);
Detector MakeDropping(MapReader& fields, const DetectorContext& context);
Detector MakeEncourage(MapReader& fields, const DetectorContext& context);
Detector MakeFollowUp(MapReader& fields, const DetectorContext& context);
Detector MakeIncreasing(MapReader& fields, const DetectorContext& context);
Detector MakeScore(MapReader& fields, const DetectorContext& context);
Detector MakeSilence(MapReader& fields, const DetectorContext& context);
Detector MakeThreshold(MapReader& fields, const DetectorContext& context);
Detector MakeTransition(MapReader& fields, const DetectorContext& context);

}  // namespace heartbeatd
