// The encourage detector: an engaged customer lacks some of the behaviours that make customers
// stay. One alert with the list of them, the most worthwhile first.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/window.h"

namespace heartbeatd {
namespace {

constexpr size_t kBehavioursMax = 32;

// So much of a measure within a time, the running bucket included.
struct Habit {
  std::string name;
  LiveWindow window;
  double at_least = 3;
  double weight = 1;

  [[nodiscard]] bool Held(const Subject& s) const {
    return window.CanReach(s, at_least) && window.Now(s) >= at_least;
  }

  void Explain(const Subject& s, EventTime at, JsonText* to) const {
    to->Text("measure", s.measure_defs[window.measure].name);
    to->Word("within", FormatDuration(window.length));
    to->Plain(NameOf(window.value), Pick(window.value, window.Totals(s, at)));
    to->Plain("at_least", at_least);
  }
};

struct Encourage {
  Habit engaged;
  std::vector<Habit> behaviours;  // the weightiest first
  Duration observed_min{};

  [[nodiscard]] EventTime ObservedFrom(const Subject& s) const {
    const size_t measure = engaged.window.measure;
    const MeasureDef& def = s.measure_defs[measure];
    return BucketStart(def.resolution, s.calendar,
                       ObservedBucket(def, s.calendar, s.measures[measure], observed_min));
  }

  // Sums may go either way without an event.
  static EventTime NextRise(const Subject& s, const Habit& habit) {
    return habit.window.RisesTo(s, habit.at_least);
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    Verdict& verdict = verdicts->emplace_back();
    verdict.since = s.now;
    const OpenEpisode* open = s.open.empty() ? nullptr : &s.open.front();
    if (s.measures[engaged.window.measure].count == 0) {
      verdict.reason = Reason::kNothingSeen;
      return EventTime::Never();
    }
    if (!engaged.Held(s)) {
      verdict.condition = Condition::kClear;
      verdict.reason = open == nullptr ? Reason::kNotEngaged
                       : s.late        ? Reason::kCorrected
                                       : Reason::kNoLongerEngaged;
      return NextRise(s, engaged);
    }
    EventTime next = engaged.window.FallsBelow(s, engaged.at_least);
    size_t missing = 0;
    for (const Habit& habit : behaviours) {
      const bool held = habit.Held(s);
      missing += held ? 0 : 1;
      next = std::min(next, held ? habit.window.FallsBelow(s, habit.at_least) : NextRise(s, habit));
    }
    verdict.value = static_cast<double>(missing);
    const EventTime observed = ObservedFrom(s);
    if (missing == 0) {
      verdict.condition = Condition::kClear;
      verdict.reason = open == nullptr ? Reason::kWithinLimits
                       : s.late        ? Reason::kCorrected
                                       : Reason::kAllAdopted;
    } else if (open == nullptr && s.now < observed) {
      verdict.reason = Reason::kObservedTooShort;
      return std::min(next, observed);
    } else {
      verdict.condition = Condition::kFiring;
      verdict.reason = Reason::kBehavioursMissing;
    }
    return next;
  }

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    const EventTime at = std::min(verdict.since, s.now);
    std::vector<const Habit*> adopted;
    to->BeginObject("observed");
    to->BeginObject("engaged");
    engaged.Explain(s, at, to);
    to->EndObject();
    to->EndObject();
    to->BeginArray("missing");
    for (const Habit& habit : behaviours) {
      if (Pick(habit.window.value, habit.window.Totals(s, at)) >= habit.at_least) {
        adopted.push_back(&habit);
        continue;
      }
      to->BeginObject();
      to->Text("name", habit.name);
      to->Plain("weight", habit.weight);
      habit.Explain(s, at, to);
      to->EndObject();
    }
    to->EndArray();
    to->BeginArray("adopted");
    for (const Habit* habit : adopted) to->Text(habit->name);
    to->EndArray();
  }
};

// The fields that a behaviour and `engaged` share.
Habit ReadHabit(MapReader& fields, const DetectorContext& context) {
  Habit habit;
  const int measure = context.Measure(fields);
  habit.window.value = ReadValue(fields, context, measure);
  constexpr double kTiny = 1e-6;
  habit.at_least = fields.Number("at_least", 3, kTiny, 1e12);
  habit.window.length = fields.Time("within", std::chrono::hours(24) * 28);
  if (measure < 0) return habit;
  habit.window.measure = static_cast<size_t>(measure);
  habit.window.width = WidthOf(fields, "within", habit.window.length,
                               context.measures[habit.window.measure].resolution);
  int32_t& needed = context.buckets_needed[habit.window.measure];
  needed = std::max(needed, habit.window.width);
  return habit;
}

std::vector<Habit> ReadBehaviours(MapReader& fields, const DetectorContext& context) {
  std::vector<Habit> out;
  const Node* list = fields.Required("behaviours");
  if (list == nullptr) return out;
  if (list->kind != Node::Kind::kList || list->list.empty() || list->list.size() > kBehavioursMax) {
    fields.ErrorAt("behaviours", fmt::format("'behaviours' of {} must be a list of 1 to {}",
                                             fields.what(), kBehavioursMax));
    return out;
  }
  std::set<std::string> names;
  for (const Node& node : list->list) {
    MapReader reader(&node, "a behaviour of " + fields.what(), fields.findings());
    std::string name;
    if (reader.Required("name") != nullptr) name = reader.Text("name", "");
    if (!names.insert(name).second)
      reader.ErrorAt("name", fmt::format("there is already a behaviour '{}'", name));
    Habit& habit = out.emplace_back(ReadHabit(reader, context));
    habit.name = std::move(name);
    habit.weight = reader.Number("weight", 1, 0, 1e9);
    reader.Finish();
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Habit& a, const Habit& b) { return a.weight > b.weight; });
  return out;
}

}  // namespace

Detector MakeEncourage(MapReader& fields, const DetectorContext& context) {
  Encourage encourage;
  if (const Node* node = fields.Required("engaged")) {
    MapReader engaged(node, "'engaged' of " + fields.what(), fields.findings());
    encourage.engaged = ReadHabit(engaged, context);
    engaged.Finish();
  }
  encourage.behaviours = ReadBehaviours(fields, context);
  Duration longest{};
  for (const Habit& habit : encourage.behaviours) longest = std::max(longest, habit.window.length);
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  encourage.observed_min = minimum.Time("observed_for", longest);
  minimum.Finish();

  Detector detector;
  detector.measures = {static_cast<int>(encourage.engaged.window.measure)};
  for (const Habit& habit : encourage.behaviours) {
    const auto measure = static_cast<int>(habit.window.measure);
    if (std::find(detector.measures.begin(), detector.measures.end(), measure) ==
        detector.measures.end())
      detector.measures.push_back(measure);
  }
  detector.evaluate = [encourage](const Subject& s, std::vector<Verdict>* v) {
    return encourage.Evaluate(s, v);
  };
  detector.explain = [encourage](const Subject& s, const Verdict& v, JsonText* to) {
    encourage.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
