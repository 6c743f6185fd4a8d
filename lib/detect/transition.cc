// The transition detector: the customer's activity or stage has changed, or an active type was
// gained or lost. A change, not a condition: one alert, no episode, never resolved. It is modelled
// as "the newest change is one of those asked for", so that the policies of every rule (hold,
// cool-down) mean the same here as elsewhere.
#include <absl/container/inlined_vector.h>
#include <fmt/compile.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/json_text.h"
#include "detect/detector.h"

namespace heartbeatd {
namespace {

enum class Dimension : uint8_t { kActivity, kStage, kActiveType };

// Values of a dimension are numbers of its enumeration; those of active types begin at 1, and 0 is
// none: one is gained from none and lost to none.
struct Change {
  size_t from = 0;
  size_t to = 0;
  EventTime since;
};

std::vector<std::string> NamesOf(Dimension dimension) {
  std::vector<std::string> names;
  const auto add = [&names](auto... one) { (names.emplace_back(NameOf(one)), ...); };
  switch (dimension) {
    case Dimension::kActivity:
      for (size_t i = 0; i < kActivityCount; ++i) add(static_cast<Activity>(i));
      break;
    case Dimension::kStage:
      for (size_t i = 0; i < kStageCount; ++i) add(static_cast<Stage>(i));
      break;
    case Dimension::kActiveType:
      names.emplace_back("none");
      for (size_t i = 0; i < kActiveTypeCount; ++i) add(static_cast<ActiveType>(i));
      break;
  }
  return names;
}

bool IsPossible(Dimension dimension, size_t from, size_t to) {
  switch (dimension) {
    case Dimension::kActivity:
      return IsLegal(static_cast<Activity>(from), static_cast<Activity>(to));
    case Dimension::kStage:
      return IsLegal(static_cast<Stage>(from), static_cast<Stage>(to));
    case Dimension::kActiveType:
      return (from == 0) != (to == 0);
  }
  __builtin_unreachable();
}

bool Lists(const std::vector<size_t>& values, size_t value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

struct Transition {
  Dimension of = Dimension::kActivity;
  std::string dimension;           // its name
  std::vector<std::string> names;  // of its values
  std::vector<size_t> from;        // empty: any but a first sighting
  std::vector<size_t> to;          // empty: any

  [[nodiscard]] bool Wants(const Change& change) const {
    const bool first_sight = change.from == 0 && of != Dimension::kActiveType;
    const bool from_ok = from.empty() ? !first_sight : Lists(from, change.from);
    return from_ok && (to.empty() || Lists(to, change.to));
  }

  // The newest change of the activity or the stage; that of each active type.
  [[nodiscard]] absl::InlinedVector<Change, kActiveTypeCount> Changes(
      const LifecycleState& life) const {
    const Standing& standing = life.standing;
    switch (of) {
      case Dimension::kActivity:
        if (life.activity == Activity::kNone) return {};
        return {
            {static_cast<size_t>(life.previous), static_cast<size_t>(life.activity), life.since}};
      case Dimension::kStage:
        if (standing.stage == Stage::kNone) return {};
        return {{static_cast<size_t>(standing.previous), static_cast<size_t>(standing.stage),
                 standing.since}};
      case Dimension::kActiveType:
        break;
    }
    absl::InlinedVector<Change, kActiveTypeCount> changes;
    for (size_t i = 0; i < kActiveTypeCount; ++i) {
      if (!standing.types_changed.test(i)) continue;
      const bool gained = standing.types.test(i);
      changes.push_back({gained ? 0 : i + 1, gained ? i + 1 : 0, standing.types_since[i]});
    }
    return changes;
  }

  [[nodiscard]] Reason ReasonOf(const Change& change) const {
    switch (of) {
      case Dimension::kActivity:
        return Reason::kActivityChanged;
      case Dimension::kStage:
        return Reason::kStageChanged;
      case Dimension::kActiveType:
        return change.from == 0 ? Reason::kActiveTypeGained : Reason::kActiveTypeLost;
    }
    __builtin_unreachable();
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    const auto changes = Changes(s.lifecycle);
    for (const Change& change : changes) {
      Verdict verdict{.since = change.since, .value = static_cast<double>(change.since.ms())};
      if (Wants(change)) {
        verdict.key =
            fmt::format(FMT_COMPILE("{}:{}:{}"), dimension, names[change.from], names[change.to]);
        verdict.condition = Condition::kFiring;
        verdict.reason = ReasonOf(change);
        verdict.instant = true;
      } else {
        verdict.condition = Condition::kClear;
        verdict.reason = Reason::kNoSuchTransition;
      }
      verdicts->push_back(std::move(verdict));
    }
    if (changes.empty()) verdicts->push_back({.reason = Reason::kNothingSeen});
    return EventTime::Never();
  }

  void Explain(const Verdict& verdict, JsonText* out) const {
    const std::string_view key = verdict.key;
    const size_t first = key.find(':');
    const size_t second = key.find(':', first + 1);
    out->Word("dimension", dimension);
    // Of an episode from when the rule had another detector it may be anything.
    out->Text("from", key.substr(first + 1, second - first - 1));
    out->Text("to", key.substr(second + 1));
  }
};

// Nothing that can happen is a mistake; a word beside others that has no use is worth a warning.
void CheckPossible(MapReader& fields, const Transition& transition) {
  std::vector<size_t> any(transition.names.size());
  std::iota(any.begin(), any.end(), size_t{0});
  const std::vector<size_t>& from = transition.from.empty() ? any : transition.from;
  const std::vector<size_t>& to = transition.to.empty() ? any : transition.to;
  const auto reaches = [&](size_t f, size_t t) { return IsPossible(transition.of, f, t); };
  const auto leaves = [&](size_t f) {
    return std::any_of(to.begin(), to.end(), [&](size_t t) { return reaches(f, t); });
  };
  const auto arrives = [&](size_t t) {
    return std::any_of(from.begin(), from.end(), [&](size_t f) { return reaches(f, t); });
  };
  const auto name_all = [&](const std::vector<size_t>& values) {
    std::vector<std::string> out;
    for (const size_t value : values) out.push_back(transition.names[value]);
    return out.empty() ? "anywhere" : fmt::format("{}", fmt::join(out, ", "));
  };
  const std::string impossible =
      fmt::format("{}: no customer ever moves from {} to {}", fields.what(),
                  name_all(transition.from), name_all(transition.to));
  if (std::none_of(from.begin(), from.end(), leaves)) {
    fields.ErrorAt(transition.to.empty() ? "from" : "to", impossible);
    return;
  }
  const auto warn = [&](std::string_view key, const std::vector<size_t>& values, size_t i) {
    const Node& node = *fields.Child(key);
    fields.findings().Warn(
        node.kind == Node::Kind::kList ? node.list[i].place : node.place,
        fmt::format("{}: '{}' in '{}' has no use: no customer ever makes that transition",
                    fields.what(), transition.names[values[i]], key));
  };
  for (size_t i = 0; i < transition.from.size(); ++i) {
    if (!leaves(from[i])) warn("from", from, i);
  }
  for (size_t i = 0; i < transition.to.size(); ++i) {
    if (!arrives(to[i])) warn("to", to, i);
  }
}

}  // namespace

Detector MakeTransition(MapReader& fields, const DetectorContext& context) {
  Detector detector;
  Transition transition;
  fields.Required("of");
  const std::optional<size_t> of = fields.Choice("of", {"activity", "stage", "active_type"});
  if (!of) {
    fields.Has("from");  // known, but of what?
    fields.Has("to");
    return detector;
  }
  static constexpr std::string_view kKinds[] = {"activity", "stage", "active type"};
  transition.of = static_cast<Dimension>(*of);
  transition.dimension = fields.Text("of", "");
  transition.names = NamesOf(transition.of);
  const size_t mistakes_before = fields.findings().errors().size();
  transition.from = fields.Words("from", kKinds[*of], transition.names);
  transition.to = fields.Words("to", kKinds[*of], transition.names);
  if (fields.findings().errors().size() == mistakes_before) CheckPossible(fields, transition);
  if (transition.of != Dimension::kActivity) context.lifecycle.standing.tracks_stages = true;
  detector.on_lifecycle = true;
  detector.evaluate = [transition](const Subject& s, std::vector<Verdict>* v) {
    return transition.Evaluate(s, v);
  };
  detector.explain = [transition](const Subject&, const Verdict& v, JsonText* to) {
    transition.Explain(v, to);
  };
  return detector;
}

}  // namespace heartbeatd
