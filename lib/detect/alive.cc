// The alive detector: by a model that was fitted to the whole population (bg_nbd.h) the customer is
// probably gone for good. P(alive) only falls while nothing is bought, so it is judged at the very
// moment at which it reaches the threshold; the next purchase ends it. The alert carries how many
// purchases are expected, and with a model of money what they are worth.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/duration.h"
#include "base/json_text.h"
#include "detect/bg_nbd.h"
#include "detect/detector.h"
#include "detect/evidence.h"
#include "detect/fields.h"
#include "detect/gap.h"

namespace heartbeatd {
namespace {

double Ms(Duration d) { return static_cast<double>(d.count()); }

struct Alive {
  size_t measure = 0;
  BgNbd model;
  Duration unit{};  // of time in the model
  std::optional<GammaGamma> money;
  double below = 0.5;
  int64_t repeats_min = 1;
  Duration horizon{};
  double discount = 0;  // a year

  // Purchases are activity days, as in the data that such models are fitted to.
  [[nodiscard]] PurchaseHistory HistoryAt(const MeasureState& state, EventTime at) const {
    return {.repeats = static_cast<double>(state.cadence.days) - 1,
            .last_repeat = Ms(state.last - state.first) / Ms(unit),
            .observed = Ms(std::max(at, state.last) - state.first) / Ms(unit)};
  }

  // When P(alive) is no longer above the threshold.
  [[nodiscard]] EventTime Due(const MeasureState& state) const {
    const double t_ms = model.FallsTo(HistoryAt(state, state.last), below) * Ms(unit);
    constexpr double kNever = 1e15;  // beyond all calendars: compare before converting
    if (!(t_ms < kNever)) return EventTime::Never();
    // Below zero, by any amount: it had fallen before the first purchase.
    const auto after_ms = static_cast<int64_t>(std::ceil(std::max(t_ms, 0.0)));
    const EventTime due = state.first + Duration(after_ms);
    return std::max(due, state.last + Duration(1));
  }

  EventTime Evaluate(const Subject& s, std::vector<Verdict>* verdicts) const {
    const MeasureState& state = s.measures[measure];
    Verdict& verdict = verdicts->emplace_back();
    if (state.count == 0 || state.cadence.days < static_cast<uint64_t>(repeats_min) + 1) {
      verdict.reason = state.count == 0 ? Reason::kNothingSeen : Reason::kTooFewRepeats;
      return EventTime::Never();
    }
    return JudgeGap(s, state, Due(state), Reason::kProbablyGone, &verdict);
  }

  // Purchases expected within the horizon, discounted to now in steps of 30 days.
  [[nodiscard]] double Discounted(const PurchaseHistory& history) const {
    constexpr Duration kStep = std::chrono::hours(24) * 30;
    constexpr double kYearMs = 365.25 * static_cast<double>(kMsPerDay);
    double total = 0;
    double before = 0;
    for (Duration end = std::min(kStep, horizon);; end = std::min(end + kStep, horizon)) {
      const double expected = model.ExpectedPurchases(history, Ms(end) / Ms(unit));
      total += (expected - before) * std::pow(1 + discount, -Ms(end) / kYearMs);
      before = expected;
      if (end == horizon) return total;
    }
  }

  void Explain(const Subject& s, const Verdict& verdict, JsonText* to) const {
    const MeasureState& state = s.measures[measure];
    const EventTime at = std::min(std::max(verdict.since, state.last), std::max(s.now, state.last));
    const PurchaseHistory history = HistoryAt(state, at);
    to->BeginObject("observed");
    to->Text("measure", s.measure_defs[measure].name);
    to->Integer("repeats", int64_t{state.cadence.days} - 1);
    to->Word("first_event", FormatRfc3339(state.first));
    to->Word("last_event", FormatRfc3339(state.last));
    to->EndObject();
    to->Number("p_alive", Rounded(model.Alive(history)));
    to->BeginObject("threshold");
    to->Number("below", below);
    to->EndObject();
    const double expected = model.ExpectedPurchases(history, Ms(horizon) / Ms(unit));
    to->Word("horizon", FormatDuration(horizon));
    to->Number("expected_purchases", Rounded(expected));
    if (money) {
      const double value = money->MeanValue(static_cast<double>(state.cadence.days),
                                            std::max(0.0, Units(state.sum_micros)));
      to->Number("expected_value", Rounded(value));
      to->Number("clv", Rounded(value * (discount > 0 ? Discounted(history) : expected)));
    }
  }
};

constexpr double kTiny = 1e-9;
constexpr double kHuge = 1e9;

double Positive(MapReader& fields, std::string_view key) {
  return fields.Required(key) == nullptr ? 1 : fields.Number(key, 1, kTiny, kHuge);
}

void ReadBgNbd(const Node* node, const std::string& what, Findings& findings, Alive* alive) {
  MapReader fields(node, "'bg_nbd' of " + what, findings);
  alive->model = {.r = Positive(fields, "r"),
                  .alpha = Positive(fields, "alpha"),
                  .a = Positive(fields, "a"),
                  .b = Positive(fields, "b")};
  alive->unit = std::chrono::hours(24);
  if (fields.Required("unit") != nullptr)
    alive->unit = ReadDuration(fields, "unit").value_or(alive->unit);
  fields.Finish();
}

void ReadGammaGamma(const Node* node, const std::string& what, Findings& findings, Alive* alive) {
  MapReader fields(node, "'gamma_gamma' of " + what, findings);
  alive->money = GammaGamma{
      .p = Positive(fields, "p"), .q = Positive(fields, "q"), .gamma = Positive(fields, "gamma")};
  if (fields.Has("q") && alive->money->q <= 1) {
    fields.ErrorAt("q", fmt::format("'q' of {} must be more than 1: else the mean of what people "
                                    "spend is infinite",
                                    fields.what()));
  }
  fields.Finish();
}

// The models, which stand in the rule or in the file that it names.
void ReadModels(MapReader& fields, const DetectorContext& context, Alive* alive) {
  const std::optional<Node> model = context.model(fields);
  const std::string what = model ? "the model of " + fields.what() : fields.what();
  MapReader file(model ? &*model : nullptr, what, fields.findings());
  file.Has("population_gap");  // of `silence`
  const Node* of_file = file.Child("bg_nbd");
  const Node* of_rule = fields.Child("bg_nbd");
  const Node* bg_nbd = of_rule != nullptr ? of_rule : of_file;
  if (bg_nbd != nullptr) {
    ReadBgNbd(bg_nbd, of_rule != nullptr ? fields.what() : what, fields.findings(), alive);
  } else if (model || !fields.Has("model")) {
    (model ? file : fields)
        .ErrorAt("detector", fmt::format("{} needs the parameters of a fitted model: 'bg_nbd' with "
                                         "r, alpha, a, b and unit, or a 'model' file that has them",
                                         what));
  }
  const Node* money_of_file = file.Child("gamma_gamma");
  const Node* money = fields.Child("gamma_gamma");
  if (money != nullptr || money_of_file != nullptr) {
    ReadGammaGamma(money != nullptr ? money : money_of_file,
                   money != nullptr ? fields.what() : what, fields.findings(), alive);
  }
  file.Finish();
}

}  // namespace

Detector MakeAlive(MapReader& fields, const DetectorContext& context) {
  Alive alive;
  const int measure = context.Measure(fields);
  ReadModels(fields, context, &alive);
  if (fields.Required("below") != nullptr)
    alive.below = ReadProbability(fields, "below").value_or(alive.below);
  alive.horizon = ReadDuration(fields, "horizon").value_or(std::chrono::hours(24) * 365);
  alive.discount = fields.Number("discount", 0, 0, 10);
  MapReader minimum(fields.Child("minimum"), "'minimum' of " + fields.what(), fields.findings());
  alive.repeats_min = minimum.Integer("repeats", 1, 1, 100'000);
  minimum.Finish();

  Detector detector;
  if (measure < 0) return detector;
  alive.measure = static_cast<size_t>(measure);
  const MeasureDef& def = context.measures[alive.measure];
  if (alive.money && def.sum == MeasureDef::Sum::kNone) {
    fields.ErrorAt("measure", fmt::format("'gamma_gamma' needs 'sum' in measure '{}'", def.name));
  }
  detector.measures = {measure};
  detector.evaluate = [alive](const Subject& s, std::vector<Verdict>* v) {
    return alive.Evaluate(s, v);
  };
  detector.explain = [alive](const Subject& s, const Verdict& v, JsonText* to) {
    alive.Explain(s, v, to);
  };
  return detector;
}

}  // namespace heartbeatd
