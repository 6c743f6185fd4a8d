// The threshold detector: the newest window of a measure, the running bucket included, is below one
// number or has reached another. An event that reaches it is seen at once; a window that empties is
// seen at the very moment at which the bucket that mattered leaves it.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/window.h"

namespace heartbeatd {
namespace {

enum class Side : uint8_t { kBelow, kAbove };

struct Threshold {
  LiveWindow window;
  Side side = Side::kBelow;
  double fire = 0;     // fires below it, or at and above it
  double resolve = 0;  // ends on the other side of it
  Duration observed_min{};

  [[nodiscard]] EventTime ObservedFrom(const Subject& s) const {
    const MeasureDef& def = s.measure_defs[window.measure];
    return BucketStart(def.resolution, s.calendar,
                       ObservedBucket(def, s.calendar, s.measures[window.measure], observed_min));
  }

  [[nodiscard]] bool Holds(double value, double limit) const {
    return side == Side::kBelow ? value < limit : value >= limit;
  }

  // When the value comes to this side of the limit if no event comes, given that it is not there.
  [[nodiscard]] EventTime Begins(const Subject& s, double limit) const {
    return side == Side::kBelow ? window.FallsBelow(s, limit) : window.RisesTo(s, limit);
  }
  // When it leaves it, given that it is there.
  [[nodiscard]] EventTime Ends(const Subject& s, double limit) const {
    return side == Side::kBelow ? window.RisesTo(s, limit) : window.FallsBelow(s, limit);
  }

  // An event that can only lift the value, with no episode about, changes nothing before the
  // deadline known so far if the rule waits for the value to fall, or is out of reach.
  [[nodiscard]] bool CanWait(const Subject& s) const {
    if (s.event == nullptr || s.late || !s.quiet) return false;
    if (Lowers(window.value, s.measure_defs[window.measure], *s.event)) return false;
    return side == Side::kBelow ? s.due != EventTime::Never() : !window.CanReach(s, fire);
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    if (CanWait(s)) return s.due;
    Verdict& verdict = verdicts->emplace_back();
    verdict.since = s.now;
    if (s.measures[window.measure].count == 0) {
      verdict.reason = Reason::kNothingSeen;
      return EventTime::Never();
    }
    const OpenEpisode* open = s.open.empty() ? nullptr : &s.open.front();
    const bool firing = open != nullptr && open->firing;
    const double limit = firing ? resolve : fire;
    const double value = window.Now(s);
    verdict.value = value;
    const EventTime observed = ObservedFrom(s);
    if (s.now < observed && !firing) {
      verdict.reason = Reason::kObservedTooShort;
      return std::max(observed, Holds(value, limit) ? s.now : Begins(s, limit));
    }
    if (Holds(value, limit)) {
      verdict.condition = Condition::kFiring;
      verdict.reason = side == Side::kBelow ? Reason::kBelowThreshold : Reason::kAboveThreshold;
      return Ends(s, limit);
    }
    verdict.condition = Condition::kClear;
    verdict.reason = !firing                ? Reason::kWithinLimits
                     : s.late               ? Reason::kCorrected
                     : side == Side::kBelow ? Reason::kRecovered
                                            : Reason::kFellBack;
    // Between the two limits, after an end, the value need not cross the resolving one again.
    return Begins(s, fire);
  }

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    const WindowTotals totals = window.Totals(s, std::min(verdict.since, s.now));
    to->BeginObject("observed");
    to->Text("measure", s.measure_defs[window.measure].name);
    to->Word("window", FormatDuration(window.length));
    to->Integer("count", totals.count);
    if (window.value != Value::kCount) to->Plain(NameOf(window.value), Pick(window.value, totals));
    to->EndObject();
    to->BeginObject("threshold");
    to->Plain(side == Side::kBelow ? "below" : "above", fire);
    to->EndObject();
  }
};

constexpr double kLimitMax = 1e12;

void ReadLimits(MapReader& fields, Threshold* threshold) {
  const std::optional<double> below = fields.Number("below", -kLimitMax, kLimitMax);
  const std::optional<double> above = fields.Number("above", -kLimitMax, kLimitMax);
  if (fields.Has("below") == fields.Has("above")) {
    fields.ErrorAt(fields.Has("above") ? "above" : "detector",
                   fmt::format("{} needs either 'below' or 'above', and not both", fields.what()));
  }
  threshold->side = above ? Side::kAbove : Side::kBelow;
  threshold->fire = above.value_or(below.value_or(0));
  threshold->resolve = threshold->fire;
  const Node* resolve = fields.Child("resolve");
  if (resolve == nullptr) return;
  MapReader reader(resolve, "'resolve' of " + fields.what(), fields.findings());
  const char* key = threshold->side == Side::kBelow ? "below" : "above";
  if (const auto limit = reader.Number(key, -kLimitMax, kLimitMax)) {
    threshold->resolve = *limit;
    const bool ends_at_once =
        threshold->side == Side::kBelow ? *limit < threshold->fire : *limit > threshold->fire;
    if (ends_at_once) {
      reader.ErrorAt(
          key, fmt::format("'{}' of {} must be at {} the rule's own {}: else an episode "
                           "ends as soon as it has begun",
                           key, reader.what(), threshold->side == Side::kBelow ? "least" : "most",
                           threshold->fire));
    }
  }
  reader.Has("hold");  // the alert policy's
  reader.Finish();
}

}  // namespace

Detector MakeThreshold(MapReader& fields, const DetectorContext& context) {
  Threshold threshold;
  const int measure = context.Measure(fields);
  threshold.window.value = ReadValue(fields, context, measure);
  if (fields.Required("window") != nullptr)
    threshold.window.length = fields.Time("window", Duration(0));
  ReadLimits(fields, &threshold);
  // Few events in a short life say nothing; many say it all the same.
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  threshold.observed_min = minimum.Time(
      "observed_for", threshold.side == Side::kBelow ? threshold.window.length : Duration(0));
  minimum.Finish();

  Detector detector;
  if (measure < 0 || threshold.window.length == Duration(0)) return detector;
  threshold.window.measure = static_cast<size_t>(measure);
  const MeasureDef& def = context.measures[threshold.window.measure];
  threshold.window.width = WidthOf(fields, "window", threshold.window.length, def.resolution);
  if (threshold.window.width == 0) return detector;
  int32_t& needed = context.buckets_needed[threshold.window.measure];
  needed = std::max(needed, threshold.window.width);
  detector.measures = {measure};
  detector.evaluate = [threshold](const Subject& s, std::vector<Verdict>* v) {
    return threshold.Evaluate(s, v);
  };
  detector.explain = [threshold](const Subject& s, const Verdict& v, JsonText* to) {
    threshold.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
