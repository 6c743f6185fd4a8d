// The silence detector: the customer has been quiet for longer than the customer's own rhythm
// allows. It fires at the very moment at which the lapse score reaches its threshold (lapse.h), so
// it looks once per gap and is never evaluated continuously; an event of the measure ends it.
#include <fmt/format.h>

#include <cmath>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/fields.h"
#include "detect/gap.h"
#include "measure/lapse.h"

namespace heartbeatd {
namespace {

struct Silence {
  size_t measure = 0;
  std::optional<Duration> after;  // fixed time instead of the score
  double false_alerts = 0.05;     // per customer-week
  double threshold = 0;           // of the score
  double population_gap_days = 0;
  uint32_t days_min = 4;
  Duration horizon{};

  [[nodiscard]] EventTime Due(const MeasureState& state) const {
    if (after) return state.last + *after;
    return LapseTime(state.cadence, population_gap_days, threshold, state.last, horizon);
  }

  EventTime Evaluate(const Subject& subject, std::vector<Verdict>* verdicts) const {
    const MeasureState& state = subject.measures[measure];
    Verdict& verdict = verdicts->emplace_back();
    if (state.count == 0 || state.cadence.days < days_min) {
      verdict.reason = state.count == 0 ? Reason::kNothingSeen : Reason::kTooFewDays;
      return EventTime::Never();
    }
    return JudgeGap(subject, state, Due(state), Reason::kSilentTooLong, &verdict);
  }

  static double DaysSince(const MeasureState& state, EventTime t) {
    return static_cast<double>((t - state.last).count()) / static_cast<double>(kMsPerDay);
  }

  void Explain(const Subject& subject, const Verdict& verdict, JsonText* to) const {
    const MeasureState& state = subject.measures[measure];
    const double silent_days = std::max(0.0, DaysSince(state, verdict.since));
    to->BeginObject("observed");
    to->Text("measure", subject.measure_defs[measure].name);
    to->Word("last_event", FormatRfc3339(state.last));
    to->Number("silent_days", Rounded(silent_days));
    to->Integer("activity_days", state.cadence.days);
    to->EndObject();
    if (after) {
      to->BeginObject("threshold");
      to->Word("after", FormatDuration(*after));
      to->EndObject();
      return;
    }
    const double expected = ExpectedGapDays(state.cadence, population_gap_days);
    to->Number("expected_gap_days", Rounded(expected));
    to->Number("overdue_index", Rounded(silent_days / expected));
    to->Number("score", Rounded(LapseScore(state.cadence, population_gap_days, silent_days)));
    to->BeginObject("threshold");
    to->Number("false_alerts", false_alerts);
    to->Number("score", Rounded(threshold));
    to->EndObject();
  }
};

std::optional<double> ReadGapDays(MapReader& fields) {
  const std::optional<Duration> gap = ReadDuration(fields, "population_gap");
  if (!gap) return {};
  return static_cast<double>(gap->count()) / static_cast<double>(kMsPerDay);
}

}  // namespace

Detector MakeSilence(MapReader& fields, const DetectorContext& context) {
  Silence silence;
  const int measure = context.Measure(fields);
  silence.after = ReadDuration(fields, "after");
  if (silence.after && fields.Has("false_alerts")) {
    fields.ErrorAt("false_alerts",
                   "'false_alerts' and 'after' exclude each other: give one of them");
  }
  constexpr double kTiny = 1e-9;
  silence.false_alerts = fields.Number("false_alerts", 0.05, kTiny, 1.0);
  silence.threshold = LapseThreshold(silence.false_alerts);
  silence.horizon = ReadDuration(fields, "horizon").value_or(std::chrono::hours(24) * 3650);
  std::optional<double> gap_days = ReadGapDays(fields);
  if (const std::optional<Node> model = context.model(fields)) {
    MapReader reader(&*model, "the model", fields.findings());
    const std::optional<double> of_model = ReadGapDays(reader);
    if (!of_model)
      reader.ErrorAt("population_gap",
                     fmt::format("the model of {} has no 'population_gap'", fields.what()));
    if (!gap_days) gap_days = of_model;
  }
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  silence.days_min = static_cast<uint32_t>(minimum.Integer("days", 4, 1, 100'000));
  minimum.Finish();

  Detector detector;
  if (measure < 0) return detector;
  silence.measure = static_cast<size_t>(measure);
  if (!gap_days) gap_days = context.measures[silence.measure].population_gap_days;
  if (!gap_days && !silence.after) {
    fields.ErrorAt(
        "measure",
        fmt::format(
            "{} needs to know how long customers usually pause: give 'population_gap' to the "
            "rule or to measure '{}', name a preset, or use 'after'",
            fields.what(), context.measures[silence.measure].name));
  }
  silence.population_gap_days = gap_days.value_or(1);
  detector.measures = {measure};
  detector.evaluate = [silence](const Subject& s, std::vector<Verdict>* v) {
    return silence.Evaluate(s, v);
  };
  detector.explain = [silence](const Subject& s, const Verdict& v, JsonText* to) {
    silence.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
