// The transition detector: the customer's activity has changed. A change, not a condition: one
// alert, no episode, never resolved. It is modelled as "the newest change is one of those asked
// for", so that the policies of every rule (hold, cool-down) mean the same here as elsewhere.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "detect/detector.h"

namespace heartbeatd {
namespace {

struct Transition {
  std::vector<Activity> from;  // empty: any but a first sighting
  std::vector<Activity> to;    // empty: any

  [[nodiscard]] bool Wants(const LifecycleState& life) const {
    const bool from_ok = from.empty()
                             ? life.previous != Activity::kNone
                             : std::find(from.begin(), from.end(), life.previous) != from.end();
    return from_ok && (to.empty() || std::find(to.begin(), to.end(), life.activity) != to.end());
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    Verdict& verdict = verdicts->emplace_back();
    const LifecycleState& life = s.lifecycle;
    if (life.activity == Activity::kNone) {
      verdict.reason = Reason::kNothingSeen;
      return EventTime::Never();
    }
    verdict.since = life.since;
    verdict.value = static_cast<double>(life.since.ms());
    if (!Wants(life)) {
      verdict.condition = Condition::kClear;
      verdict.reason = Reason::kNoSuchTransition;
      return EventTime::Never();
    }
    verdict.key = fmt::format("activity:{}:{}", NameOf(life.previous), NameOf(life.activity));
    verdict.condition = Condition::kFiring;
    verdict.reason = Reason::kActivityChanged;
    verdict.instant = true;
    return EventTime::Never();
  }

  [[nodiscard]] nlohmann::ordered_json Explain(const Subject& s, const Verdict&) const {
    return {{"dimension", "activity"},
            {"from", NameOf(s.lifecycle.previous)},
            {"to", NameOf(s.lifecycle.activity)}};
  }
};

std::vector<Activity> ReadActivities(MapReader& fields, std::string_view key) {
  std::vector<Activity> out;
  for (const std::string& name : fields.Texts(key)) {
    if (const std::optional<Activity> activity = ActivityOf(name)) {
      out.push_back(*activity);
    } else {
      fields.ErrorAt(key, fmt::format("'{}' of {}: '{}' is no activity; there are none (before the "
                                      "first event), new, active, "
                                      "at_risk, dormant, lost and reactivated",
                                      key, fields.what(), name));
    }
  }
  return out;
}

}  // namespace

Detector MakeTransition(MapReader& fields, const DetectorContext&) {
  Transition transition;
  if (fields.Required("of") != nullptr) fields.Choice("of", {"activity"});
  transition.from = ReadActivities(fields, "from");
  transition.to = ReadActivities(fields, "to");
  if (!transition.from.empty() && !transition.to.empty()) {
    const bool possible =
        std::any_of(transition.from.begin(), transition.from.end(), [&](Activity from) {
          return std::any_of(transition.to.begin(), transition.to.end(),
                             [&](Activity to) { return IsLegal(from, to); });
        });
    if (!possible)
      fields.ErrorAt("to",
                     fmt::format("{}: no customer ever moves from any of 'from' to any of 'to'",
                                 fields.what()));
  }
  Detector detector;
  detector.on_lifecycle = true;
  detector.evaluate = [transition](const Subject& s, std::vector<Verdict>* v) {
    return transition.Evaluate(s, v);
  };
  detector.explain = [transition](const Subject& s, const Verdict& v) {
    return transition.Explain(s, v);
  };
  return detector;
}

}  // namespace heartbeatd
