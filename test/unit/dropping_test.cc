// The dropping detector. Most tests lay events out in weeks of seven days from kDay0 on and judge
// at the close of the fourth: three weeks of baseline, one of window.
#include <cmath>
#include <random>

#include "detect/exact_test.h"
#include "one_customer.h"

using namespace heartbeatd;

namespace {

const EventTime kDay0 = At("2026-01-05");

constexpr const char* kMeasure = "{type: purchase, sum: amount, distinct: item, resolution: 1d}";

std::string RuleText(std::string_view fields, std::string_view measure = kMeasure) {
  return fmt::format(
      "measures: {{m: {}}}\nrules:\n  - {{id: r, detector: dropping, measure: m, {}}}\n", measure,
      fields);
}

// The detector alone: a state goes in, a verdict comes out.
struct Judge {
  explicit Judge(std::string_view fields, std::string_view measure = kMeasure)
      : rules(RulesOf(RuleText(fields, measure))), calendar(rules->calendar) {
    measures.resize(rules->measures.size());
    Purchases(kDay0 - Days(200), 1);  // observed for long enough
  }

  void Purchases(EventTime at, int n, double amount = 1, int item = 0) {
    for (int i = 0; i < n; ++i) {
      const Event event = EventOf(
          *rules, at,
          fmt::format(R"("type":"purchase","amount":{},"properties":{{"item":{}}})", amount, item));
      Apply(rules->measures[0], calendar, event, at, &measures[0]);
    }
  }
  // `counts` purchases in each of the weeks that end with the close at kDay0 + 28 days.
  void Weeks(const std::vector<int>& counts) {
    EventTime week = kDay0 + Days(28 - 7 * static_cast<int64_t>(counts.size()));
    for (const int n : counts) {
      Purchases(week + Hours(9), n);
      week = week + Days(7);
    }
  }

  Verdict operator()(EventTime now = kDay0 + Days(28), std::vector<OpenEpisode> open = {},
                     bool late = false) {
    std::vector<Verdict> verdicts;
    const Subject subject{.measure_defs = rules->measures,
                          .measures = measures,
                          .calendar = calendar,
                          .lifecycle = lifecycle,
                          .late = late,
                          .now = now,
                          .open = open,
                          .quiet = open.empty()};
    due = rules->rules[0].detector.evaluate(subject, &verdicts);
    REQUIRE(verdicts.size() == 1);
    CHECK(due > now);
    std::string text;
    JsonText to(&text);
    to.BeginObject();
    rules->rules[0].detector.explain(subject, verdicts[0], &to);
    to.EndObject();
    evidence = nlohmann::json::parse(text);
    return verdicts[0];
  }

  std::shared_ptr<const RuleSet> rules;
  Calendar calendar;
  std::vector<MeasureState> measures;
  LifecycleState lifecycle;
  EventTime due;
  nlohmann::json evidence;
};

OpenEpisode Firing(double value) {
  return {.key = "", .firing = true, .starts_at = kDay0 + Days(20), .value = value};
}
OpenEpisode Pending(double value) {
  return {.key = "", .firing = false, .starts_at = kDay0 + Days(20), .value = value};
}

constexpr const char* kWeekly =
    "window: 7d, ratio: 0.5, minimum: {baseline_count: 1, observed_for: 28d}";

// P(X <= k), X ~ Bin(n, p), summed term by term.
long double BinomialSum(int k, int n, long double p) {
  long double sum = 0;
  for (int i = 0; i <= k; ++i) {
    sum += expl(lgammal(n + 1.0L) - lgammal(i + 1.0L) - lgammal(n - i + 1.0L) + i * logl(p) +
                (n - i) * log1pl(-p));
  }
  return sum;
}

}  // namespace

TEST_CASE("dropping: the window against the baseline, to the last event") {
  struct Row {
    const char* fields;
    std::vector<int> weeks;  // the last one is the window
    Condition condition;
    Reason reason;
  };
  const std::string least = "minimum: {baseline_count: 1, observed_for: 28d}";
  const Row row = GENERATE(values<Row>({
      // mean: at most half of (10 + 10 + 10)/3
      {"window: 7d, ratio: 0.5", {10, 10, 10, 5}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5", {10, 10, 10, 6}, Condition::kClear, Reason::kWithinLimits},
      {"window: 7d, ratio: 0.5", {30, 0, 0, 5}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5", {3, 3, 3, 1}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5", {3, 3, 3, 2}, Condition::kClear, Reason::kWithinLimits},
      {"window: 7d, ratio: 0.5", {10, 10, 10, 0}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 1", {10, 10, 10, 10}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 0", {10, 10, 10, 0}, Condition::kFiring, Reason::kBelowBaseline},
      {"window: 7d, ratio: 0", {10, 10, 10, 1}, Condition::kClear, Reason::kWithinLimits},
      // a baseline of one period, of four
      {"window: 7d, ratio: 0.5, baseline: {periods: 1}",
       {90, 90, 10, 5},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5, baseline: {periods: 1}",
       {90, 90, 10, 6},
       Condition::kClear,
       Reason::kWithinLimits},
      {"window: 7d, ratio: 0.5, baseline: {periods: 4}",
       {16, 8, 8, 8, 5},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5, baseline: {periods: 4}",
       {15, 8, 8, 8, 5},
       Condition::kClear,
       Reason::kWithinLimits},
      // each: strictly below every one
      {"window: 7d, ratio: 1, compare: each",
       {3, 9, 4, 2},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 1, compare: each",
       {3, 9, 4, 3},
       Condition::kClear,
       Reason::kWithinLimits},
      {"window: 7d, ratio: 1, baseline: {compare: each}",
       {9, 3, 4, 3},
       Condition::kClear,
       Reason::kWithinLimits},
      {"window: 7d, ratio: 1, compare: each",
       {9, 4, 3, 3},
       Condition::kClear,
       Reason::kWithinLimits},
      {"window: 7d, ratio: 0.5, compare: each",
       {4, 9, 9, 1},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5, compare: each",
       {4, 9, 9, 2},
       Condition::kClear,
       Reason::kWithinLimits},
      // median: the middle one, or the mean of the two in the middle
      {"window: 7d, ratio: 0.5, compare: median",
       {1, 90, 10, 5},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5, compare: median",
       {1, 90, 10, 6},
       Condition::kClear,
       Reason::kWithinLimits},
      {"window: 7d, ratio: 0.5, baseline: {periods: 4, compare: median}",
       {1, 8, 12, 99, 5},
       Condition::kFiring,
       Reason::kBelowBaseline},
      {"window: 7d, ratio: 0.5, baseline: {periods: 4, compare: median}",
       {1, 8, 12, 99, 6},
       Condition::kClear,
       Reason::kWithinLimits},
      // nothing to compare with
      {"window: 7d, ratio: 0.5, compare: each",
       {0, 9, 9, 0},
       Condition::kInsufficient,
       Reason::kZeroBaseline},
      {"window: 7d, ratio: 0.5, compare: median",
       {0, 0, 9, 0},
       Condition::kInsufficient,
       Reason::kZeroBaseline},
      {"window: 7d, ratio: 0.5", {0, 0, 0, 5}, Condition::kInsufficient, Reason::kBaselineTooSmall},
      {"window: 7d, ratio: 0.5", {0, 0, 0, 0}, Condition::kInsufficient, Reason::kBaselineTooSmall},
  }));
  CAPTURE(row.fields, row.weeks);
  Judge judge(std::string(row.fields) + ", " + least);
  judge.Weeks(row.weeks);
  const Verdict verdict = judge();
  CHECK(verdict.condition == row.condition);
  CHECK(verdict.reason == row.reason);
  CHECK(verdict.value == row.weeks.back());
}

// 29 of 100 is 0.29 of it, though 0.29 * 100 is a little less than 29 in binary.
TEST_CASE("dropping: exactly ratio x baseline, for every ratio that people write") {
  for (int periods = 1; periods <= 4; ++periods) {
    for (int percent = 1; percent <= 100; ++percent) {
      const std::string common =
          fmt::format("window: 7d, ratio: {}, minimum: {{baseline_count: 1, observed_for: 0s}}",
                      percent / 100.0);
      const auto mean =
          RulesOf(RuleText(fmt::format("{}, baseline: {{periods: {}}}", common, periods)));
      const auto each = RulesOf(
          RuleText(fmt::format("{}, baseline: {{periods: {}, compare: each}}", common, periods)));
      for (int total = 1; total <= 120; ++total) {
        const auto fires = [&](const RuleSet& rules, int window, const std::vector<int>& before) {
          std::vector<MeasureState> measures(rules.measures.size());
          MeasureState& state = measures[0];
          for (size_t i = 0; i < before.size(); ++i) {
            state.buckets.push_back(
                {.index = static_cast<int32_t>(7 * i), .count = static_cast<uint32_t>(before[i])});
          }
          state.buckets.push_back({.index = static_cast<int32_t>(7 * before.size()),
                                   .count = static_cast<uint32_t>(window)});
          state.count = 1;
          const LifecycleState life;
          std::vector<Verdict> verdicts;
          rules.rules[0].detector.evaluate({.measure_defs = rules.measures,
                                            .measures = measures,
                                            .calendar = rules.calendar,
                                            .lifecycle = life,
                                            .now = EventTime(0) + Days(7 * (periods + 1)),
                                            .open = {}},
                                           &verdicts);
          return verdicts.at(0).condition == Condition::kFiring;
        };
        CAPTURE(periods, percent, total);
        std::vector<int> sums_to_total(static_cast<size_t>(periods), 0);
        sums_to_total[0] = total;
        const int limit =
            percent * total / (100 * periods);  // the largest window <= ratio * total / periods
        if (!fires(*mean, limit, sums_to_total)) REQUIRE(fires(*mean, limit, sums_to_total));
        if (fires(*mean, limit + 1, sums_to_total))
          REQUIRE_FALSE(fires(*mean, limit + 1, sums_to_total));
        const std::vector<int> all_equal(static_cast<size_t>(periods), total);
        const int below = (percent * total + 99) / 100 - 1;  // the largest window < ratio * total
        if (below >= 0 && !fires(*each, below, all_equal)) REQUIRE(fires(*each, below, all_equal));
        if (fires(*each, below + 1, all_equal)) REQUIRE_FALSE(fires(*each, below + 1, all_equal));
      }
    }
  }
}

TEST_CASE("dropping: the value that is compared") {
  struct Row {
    const char* value;
    double window;
    Condition condition;
  };
  // Baseline, each week: 4 purchases of 10 on two days, of 4 items. Window: 4 of 3 on one day, of 3
  // items.
  const Row row = GENERATE(values<Row>({{"count", 4, Condition::kClear},
                                        {"sum", 12, Condition::kFiring},
                                        {"days", 1, Condition::kFiring},
                                        {"distinct", 3, Condition::kClear}}));
  CAPTURE(row.value);
  Judge judge(fmt::format("value: {}, {}", row.value, kWeekly));
  for (int week = 0; week < 3; ++week) {
    for (int item = 0; item < 4; ++item) {
      judge.Purchases(kDay0 + Days(7 * week + (item < 2 ? 0 : 3)) + Hours(item), 1, 10, item);
    }
  }
  for (int item = 0; item < 4; ++item)
    judge.Purchases(kDay0 + Days(23) + Hours(item), 1, 3, std::min(item, 2));
  const Verdict verdict = judge();
  CHECK(verdict.value == row.window);
  CHECK(verdict.condition == row.condition);
  if (std::string(row.value) != "count") CHECK_FALSE(judge.evidence.contains("p_value"));
}

TEST_CASE("dropping: a baseline of events without money is no baseline of money") {
  Judge judge(std::string("value: sum, ") + kWeekly);
  for (int day = 0; day < 21; ++day) judge.Purchases(kDay0 + Days(day), 1, 0);
  CHECK(judge().reason == Reason::kZeroBaseline);
}

TEST_CASE("dropping: minimum.baseline_count counts the baseline's events") {
  for (const auto& [weeks, sufficient] : std::map<std::vector<int>, bool>{{{7, 7, 5, 1}, false},
                                                                          {{7, 7, 6, 1}, true},
                                                                          {{20, 0, 0, 0}, true},
                                                                          {{0, 0, 19, 9}, false}}) {
    CAPTURE(weeks);
    Judge judge("window: 7d, ratio: 0.5, minimum: {baseline_count: 20, observed_for: 28d}");
    judge.Weeks(weeks);
    CHECK((judge().reason == Reason::kBaselineTooSmall) == !sufficient);
  }
}

// Met when start(closing bucket) - start(bucket of the first event) reaches it: at the close of the
// day that lies so many days after the first one.
TEST_CASE("dropping: minimum.observed_for, to the day") {
  struct Row {
    const char* minimum;
    const char* first;
    const char* zone;
    const char* first_sufficient_close;
  };
  const Row row = GENERATE(values<Row>({
      {"observed_for: 28d", "2026-01-05T00:00:00Z", "UTC", "2026-02-03T00:00:00Z"},
      {"observed_for: 28d", "2026-01-05T23:59:59Z", "UTC", "2026-02-03T00:00:00Z"},
      {"baseline_count: 1", "2026-01-05T09:00:00Z", "UTC",
       "2026-02-03T00:00:00Z"},  // default: window + baseline
      {"observed_for: 0s", "2026-01-05T09:00:00Z", "UTC", "2026-01-06T00:00:00Z"},
      {"observed_for: 1d", "2026-01-05T09:00:00Z", "UTC", "2026-01-07T00:00:00Z"},
      {"observed_for: 36h", "2026-01-05T09:00:00Z", "UTC", "2026-01-08T00:00:00Z"},
      // Calendar days, though one of them has 23 hours and one 25.
      {"observed_for: 28d", "2026-03-10T09:00:00Z", "Europe/Berlin", "2026-04-07T22:00:00Z"},
      {"observed_for: 28d", "2026-10-10T09:00:00Z", "Europe/Berlin", "2026-11-07T23:00:00Z"},
  }));
  CAPTURE(row.minimum, row.first, row.zone);
  const auto rules = RulesOf(
      fmt::format("time: {{zone: {}}}\n", row.zone) +
      RuleText(fmt::format(
          "window: 7d, ratio: 0.5, minimum: {{{}{}}}", row.minimum,
          std::string_view(row.minimum).starts_with("baseline") ? "" : ", baseline_count: 1")));
  const EventTime edge = At(row.first_sufficient_close);
  std::vector<MeasureState> measures(rules->measures.size());
  const LifecycleState life;
  Calendar calendar = rules->calendar;
  Apply(rules->measures[0], calendar, EventOf(*rules, At(row.first), R"("type":"purchase")"),
        At(row.first), &measures[0]);
  // Something for the baseline, wherever it lies at the edge.
  const EventTime in_baseline = std::max(At(row.first), edge - Days(8));
  Apply(rules->measures[0], calendar, EventOf(*rules, in_baseline, R"("type":"purchase")"),
        in_baseline, &measures[0]);
  const auto reason_at = [&](EventTime now) {
    std::vector<Verdict> verdicts;
    rules->rules[0].detector.evaluate({.measure_defs = rules->measures,
                                       .measures = measures,
                                       .calendar = calendar,
                                       .lifecycle = life,
                                       .now = now,
                                       .open = {}},
                                      &verdicts);
    return verdicts.at(0).reason;
  };
  const EventTime day_before = calendar.DayStart(calendar.DayOf(edge) - 1);
  REQUIRE(edge == calendar.DayStart(calendar.DayOf(edge)));
  CHECK(reason_at(edge) != Reason::kObservedTooShort);
  for (const EventTime now : {edge - Ms(1), day_before}) {
    if (now <= in_baseline) continue;
    const Reason reason = reason_at(now);
    CHECK((reason == Reason::kObservedTooShort || reason == Reason::kBaselineTooSmall));
  }
}

// P(X <= k) with exact fractions (Python): sum(comb(n, i) * p**i * (1 - p)**(n - i) for i in
// range(k + 1))
TEST_CASE("dropping: p-values, and the threshold that they are held against") {
  struct Row {
    int k;
    int baseline;
    int periods;
    double p;
  };
  const Row row = GENERATE(values<Row>({{1, 25, 3, 0.00545594},
                                        {0, 20, 3, 0.00317121},
                                        {2, 22, 3, 0.0398012},
                                        {5, 40, 3, 0.0179435},
                                        {9, 30, 3, 0.475631},
                                        {0, 8, 1, 0.00390625},
                                        {3, 12, 1, 0.0175781},
                                        {1, 60, 12, 0.0460949}}));
  CAPTURE(row.k, row.baseline, row.periods);
  REQUIRE(static_cast<double>(BinomialSum(row.k, row.k + row.baseline, 1.0L / (1 + row.periods))) ==
          Approx(row.p).epsilon(1e-5));
  // Just above and just below p.
  for (const double slack : {1.00001, 0.99999}) {
    Judge judge(
        fmt::format("window: 7d, p_value: {}, baseline: {{periods: {}}}, minimum: "
                    "{{baseline_count: 1, observed_for: 7d}}",
                    row.p * slack, row.periods));
    judge.Purchases(kDay0 + Days(14), row.baseline);
    judge.Purchases(kDay0 + Days(27), row.k);
    CHECK(judge().condition == (slack > 1 ? Condition::kFiring : Condition::kClear));
    CHECK(judge.evidence["p_value"].get<double>() == Approx(row.p).epsilon(1e-5));
  }
}

TEST_CASE("dropping: p-values equal the sums of binomial terms") {
  for (int periods = 1; periods <= 6; ++periods) {
    for (const int baseline : {1, 2, 5, 13, 40, 121, 400}) {
      Judge judge(
          fmt::format("window: 7d, p_value: 0.5, baseline: {{periods: {}}}, minimum: "
                      "{{baseline_count: 1, observed_for: 7d}}",
                      periods));
      judge.Purchases(kDay0 + Days(14), baseline);
      for (int k = 0; k <= 40; ++k) {
        CAPTURE(periods, baseline, k);
        const double expected =
            static_cast<double>(BinomialSum(k, k + baseline, 1.0L / (1 + periods)));
        const Verdict verdict = judge();
        const double p = judge.evidence["p_value"].get<double>();
        if (std::abs(p / expected - 1) > 1e-5) CHECK(p == Approx(expected).epsilon(1e-5));
        if (std::abs(expected - 0.5) > 1e-9)
          CHECK((verdict.condition == Condition::kFiring) == (expected <= 0.5));
        judge.Purchases(kDay0 + Days(27), 1);
      }
    }
  }
}

TEST_CASE("exact test: critical values decide as the p-values do") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(-12, 0);
  for (int round = 0; round < 60; ++round) {
    const double p = 1.0 / static_cast<double>(2 + random() % 8);
    const double level = std::pow(10, exponent(random));
    CAPTURE(round, p, level);
    const ExactTest at_most(ExactTest::Tail::kAtMost, p, level);
    const ExactTest at_least(ExactTest::Tail::kAtLeast, p, level);
    size_t wrong = 0;
    for (int64_t k = 0; k < 40; ++k) {
      for (int64_t others = 0; others < 400; ++others) {
        const int64_t n = k + others;
        wrong += at_most.IsSignificant(k, others) != (BinomialAtMost(k, n, p) <= level) ? 1U : 0U;
        wrong += at_least.IsSignificant(k, others) != (BinomialAtLeast(k, n, p) <= level) ? 1U : 0U;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("dropping: ratio and p-value must both hold") {
  // 1 of 25: p = 0.0055, ratio 0.12.
  struct Row {
    const char* thresholds;
    bool fires;
  };
  const Row row = GENERATE(values<Row>({{"ratio: 0.5, p_value: 0.01", true},
                                        {"ratio: 0.11, p_value: 0.01", false},
                                        {"ratio: 0.5, p_value: 0.005", false},
                                        {"p_value: 0.01", true},
                                        {"ratio: 0.12", true}}));
  CAPTURE(row.thresholds);
  Judge judge(fmt::format("window: 7d, {}, minimum: {{baseline_count: 1, observed_for: 7d}}",
                          row.thresholds));
  judge.Weeks({9, 8, 8, 1});
  CHECK((judge().condition == Condition::kFiring) == row.fires);
}

TEST_CASE("dropping: the running bucket is in neither side") {
  Judge judge(kWeekly);
  judge.Weeks({10, 10, 10, 5});
  CHECK(judge(kDay0 + Days(28)).condition == Condition::kFiring);
  judge.Purchases(kDay0 + Days(28) + Hours(1), 50);
  CHECK(judge(kDay0 + Days(28) + Hours(2)).condition == Condition::kFiring);
  CHECK(judge(kDay0 + Days(29) - Ms(1)).condition == Condition::kFiring);
  CHECK(judge(kDay0 + Days(29)).condition == Condition::kClear);  // now it is closed
  // Before the last day closes, its events do not count either: four weeks earlier are the window.
  CHECK(judge(kDay0 + Days(28) - Ms(1)).value == 5);
}

TEST_CASE("dropping: hysteresis, and why an episode ends") {
  struct Row {
    std::vector<int> weeks;
    double value_at_crossing;
    bool late;
    Condition condition;
    Reason reason;
  };
  const Row row = GENERATE(values<Row>({
      // Fires at 0.5, ends above 0.8.
      {{10, 10, 10, 6}, 5, false, Condition::kFiring, Reason::kBelowBaseline},
      {{10, 10, 10, 8}, 5, false, Condition::kFiring, Reason::kBelowBaseline},
      {{10, 10, 10, 9}, 5, false, Condition::kClear, Reason::kRecovered},
      {{10, 10, 10, 9}, 5, true, Condition::kClear, Reason::kCorrected},
      // The window is not above what it was: the baseline came down to it.
      {{2, 2, 3, 5}, 5, false, Condition::kClear, Reason::kBaselineFaded},
      {{2, 2, 3, 4}, 5, false, Condition::kClear, Reason::kBaselineFaded},
      {{2, 2, 3, 4}, 5, true, Condition::kClear, Reason::kCorrected},
  }));
  CAPTURE(row.weeks, row.late);
  Judge judge(
      "window: 7d, ratio: 0.5, resolve: {ratio: 0.8}, minimum: {baseline_count: 4, observed_for: "
      "28d}");
  judge.Weeks(row.weeks);
  const Verdict verdict = judge(kDay0 + Days(28), {Firing(row.value_at_crossing)}, row.late);
  CHECK(verdict.condition == row.condition);
  CHECK(verdict.reason == row.reason);
}

TEST_CASE("dropping: a p-value of its own for the end") {
  // 2 of 22: p = 0.04.
  Judge judge(
      "window: 7d, p_value: 0.01, resolve: {p_value: 0.05}, minimum: {baseline_count: 4, "
      "observed_for: 28d}");
  judge.Weeks({8, 7, 7, 2});
  CHECK(judge().condition == Condition::kClear);
  CHECK(judge(kDay0 + Days(28), {Firing(0)}).condition == Condition::kFiring);
}

TEST_CASE(
    "dropping: too little to judge keeps an episode until the window rises above the crossing's") {
  struct Row {
    int window;
    bool late;
    Condition condition;
    Reason reason;
  };
  const Row row = GENERATE(values<Row>({
      {0, false, Condition::kInsufficient, Reason::kBaselineTooSmall},
      {2, false, Condition::kInsufficient, Reason::kBaselineTooSmall},
      {3, false, Condition::kClear, Reason::kRecovered},
      {3, true, Condition::kClear, Reason::kCorrected},
  }));
  CAPTURE(row.window, row.late);
  Judge judge("window: 7d, ratio: 0.5, minimum: {baseline_count: 20, observed_for: 28d}");
  judge.Weeks({4, 4, 4, row.window});
  const Verdict verdict = judge(kDay0 + Days(28), {Firing(2)}, row.late);
  CHECK(verdict.condition == row.condition);
  CHECK(verdict.reason == row.reason);
  // A pending one must be true all the time.
  CHECK(judge(kDay0 + Days(28), {Pending(2)}).condition == Condition::kClear);
}

TEST_CASE("dropping: a customer who has left does not flap") {
  OneCustomer customer(
      RuleText("window: 7d, ratio: 0.5, minimum: {baseline_count: 8, observed_for: 28d}"));
  for (int day = 0; day < 40; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9));
  customer.AdvanceTo(kDay0 + Days(1000));
  // One purchase a day up to day 39. At the close of day 42 the window holds three and a half of
  // seven.
  CHECK(customer.Take() == Lines{"2026-02-18T00:00:00Z r firing below_baseline"});
  // The first purchase ever since: the window, now 1, rises above nothing until it passes 3.
  customer.Purchase(kDay0 + Days(1000));
  customer.AdvanceTo(kDay0 + Days(1002));
  CHECK(customer.Take() == Lines{});
  for (int day = 1; day < 4; ++day) customer.Purchase(kDay0 + Days(1000 + day));
  customer.AdvanceTo(kDay0 + Days(1010));
  CHECK(customer.Take() == Lines{"2028-10-05T00:00:00Z r resolved recovered"});
}

TEST_CASE("dropping: a late event that fills the window corrects") {
  OneCustomer customer(
      RuleText("window: 7d, ratio: 0.5, minimum: {baseline_count: 8, observed_for: 28d}"));
  for (int day = 0; day < 30; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9));
  customer.AdvanceTo(kDay0 + Days(35));
  CHECK(customer.Take() == Lines{"2026-02-08T00:00:00Z r firing below_baseline"});
  customer.Purchase(kDay0 + Days(31));
  customer.Purchase(kDay0 + Days(32));
  CHECK(customer.Take() == Lines{"2026-02-09T00:00:00Z r resolved corrected"});
}

TEST_CASE("dropping: a refund that undoes an alert corrects it") {
  // Money: three weeks of 100, and a week of 40. Then 60 of the baseline are given back.
  OneCustomer customer(RuleText(
      "value: sum, window: 7d, ratio: 0.5, minimum: {baseline_count: 1, observed_for: 7d}"));
  for (int week = 0; week < 3; ++week) customer.Purchase(kDay0 + Days(7 * week), 100);
  customer.Purchase(kDay0 + Days(21), 40);
  customer.AdvanceTo(kDay0 + Days(28));
  const Lines fired = customer.Take();
  REQUIRE(fired.size() == 1);
  CHECK(customer.taken[0]["data"]["observed"]["sum"] == 40);
  customer.On(kDay0 + Days(7), R"("type":"refund","amount":90)");
  const Lines resolved = customer.Take();
  REQUIRE(resolved.size() == 1);
  CHECK(resolved[0] == FormatRfc3339(customer.now) + " r resolved corrected");
}

TEST_CASE("dropping: the alert's numbers") {
  OneCustomer customer(RuleText(
      "window: 7d, ratio: 0.5, p_value: 0.01, minimum: {baseline_count: 20, observed_for: 28d}"));
  customer.Purchase(kDay0 - Days(30), 1);
  for (int week = 0; week < 3; ++week) {
    for (int i = 0; i < (week == 0 ? 9 : 8); ++i)
      customer.Purchase(kDay0 + Days(7 * week) + Hours(i), 20);
  }
  customer.Purchase(kDay0 + Days(21), 20);
  customer.AdvanceTo(kDay0 + Days(28));
  REQUIRE(customer.Take() == Lines{"2026-01-27T00:00:00Z r firing below_baseline"});
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(data["observed"] ==
        nlohmann::json::parse(R"({"measure":"m","window":"7d","count":1,"sum":20.0})"));
  CHECK(
      data["baseline"] ==
      nlohmann::json::parse(
          R"({"window":"21d","periods":3,"count":25,"sum":500.0,"per_period":{"count":8.33333,"sum":166.667}})"));
  CHECK(data["ratio"] == 0.12);
  CHECK(data["threshold"] == nlohmann::json::parse(R"({"ratio":0.5,"p_value":0.01})"));
  CHECK(data["p_value"] == 0.00545594);
}

TEST_CASE("dropping: the numbers are those at the crossing, however long it is held") {
  OneCustomer customer(RuleText(
      "window: 7d, ratio: 0.5, hold: 2d, minimum: {baseline_count: 8, observed_for: 28d}"));
  for (int day = 0; day < 40; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9));
  customer.AdvanceTo(kDay0 + Days(60));
  REQUIRE(customer.Take() == Lines{"2026-02-20T00:00:00Z r firing below_baseline"});
  CHECK(customer.taken[0]["data"]["starts_at"] == "2026-02-18T00:00:00Z");
  CHECK(customer.taken[0]["data"]["observed"]["count"] == 3);  // 1 by the time it fired
}

// The whole point of deadlines: looking only when the detector asked to be looked at must show what
// looking at every close shows, to the last byte of every alert.
TEST_CASE("dropping: deadlines miss nothing that judging at every close sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(random); };
  size_t alerts = 0;
  for (int round = 0; round < 400; ++round) {
    static constexpr const char* kValues[] = {"count", "count", "sum", "distinct", "days"};
    static constexpr const char* kCompares[] = {"mean", "each", "median"};
    static constexpr const char* kZones[] = {"UTC", "Europe/Berlin", "America/Santiago"};
    const char* value = kValues[pick(0, 4)];
    const bool hourly = chance(0.5);
    const int width = pick(1, 6);
    const int periods = pick(1, 4);
    std::string fields =
        fmt::format("value: {}, window: {}{}, baseline: {{periods: {}, compare: {}}}", value, width,
                    hourly ? "h" : "d", periods, kCompares[pick(0, 2)]);
    const bool p_value = value == kValues[0] && chance(0.5);
    if (p_value) fields += fmt::format(", p_value: 0.{}", pick(1, 9));
    const int ratio = !p_value || chance(0.5) ? pick(1, 9) : 0;
    if (ratio > 0) fields += fmt::format(", ratio: 0.{}", ratio);
    std::string resolve;
    if (ratio > 0 && chance(0.4)) resolve += fmt::format("ratio: 0.{}", pick(ratio, 9));
    if (chance(0.3))
      resolve += fmt::format("{}hold: {}h", resolve.empty() ? "" : ", ", pick(0, 100));
    if (!resolve.empty()) fields += ", resolve: {" + resolve + "}";
    std::string minimum = fmt::format("baseline_count: {}", pick(1, 12));
    if (chance(0.6)) minimum += fmt::format(", observed_for: {}h", pick(0, hourly ? 40 : 500));
    fields += ", minimum: {" + minimum + "}";
    if (chance(0.3)) fields += fmt::format(", hold: {}h", pick(1, hourly ? 12 : 200));
    if (chance(0.3)) fields += fmt::format(", cooldown: {}h", pick(1, hourly ? 30 : 300));
    if (chance(0.1)) fields += ", reentry: once";
    const std::string yaml =
        fmt::format("time: {{zone: {}}}\n", kZones[pick(0, 2)]) +
        RuleText(fields,
                 fmt::format("{{type: purchase, sum: amount, distinct: item, resolution: {}}}",
                             hourly ? "1h" : "1d"));
    CAPTURE(round, yaml);
    OneCustomer sparse(yaml);
    OneCustomer dense(yaml);
    const Resolution resolution = hourly ? Resolution::kHour : Resolution::kDay;
    const MeasureDef& def = dense.rules->measures[0];
    const Calendar calendar = dense.rules->calendar;
    // Every close up to `t`, whether anybody asked or not.
    const auto advance_dense = [&](EventTime t) {
      while (dense.now != EventTime::Min()) {
        const EventTime close =
            BucketStart(resolution, calendar, BucketOf(resolution, calendar, dense.now) + 1);
        if (close > t) break;
        dense.AdvanceTo(close);
        dense.evaluator.OnRulesChanged("c42", close, close, &dense.state, &dense.alerts);
      }
      dense.AdvanceTo(t);
    };
    EventTime now = At("2026-03-20") + Hours(pick(0, 400));
    const int64_t unit_ms = LengthOf(def.resolution).count();
    const bool negative_amounts = chance(0.2);
    CAPTURE(negative_amounts);
    double pace = 1;
    for (int i = 0; i < 80; ++i) {
      if (chance(0.1)) pace = std::exp(std::uniform_real_distribution<double>(-2.5, 2)(random));
      now = now + Ms(static_cast<int64_t>(std::exponential_distribution<double>(1 / pace)(random) *
                                          static_cast<double>(unit_ms)));
      const bool late = chance(0.1);
      const EventTime at = late ? now - Ms(pick(0, 3 * width) * unit_ms) : now;
      const std::string event = fmt::format(R"("type":"{}","amount":{},"properties":{{"item":{}}})",
                                            chance(0.05) ? "refund" : "purchase",
                                            pick(negative_amounts ? -20 : 0, 20), pick(0, 4));
      const std::string id = fmt::format("e{}", i);
      advance_dense(now);
      dense.On(at, event, id);
      dense.evaluator.OnRulesChanged("c42", dense.now, dense.now, &dense.state, &dense.alerts);
      sparse.AdvanceTo(now);
      sparse.On(at, event, id);
    }
    now = now + Ms(unit_ms * width * (periods + 3));
    advance_dense(now);
    sparse.AdvanceTo(now);
    const Lines dense_lines = dense.Take();
    const Lines sparse_lines = sparse.Take();
    REQUIRE(Difference(sparse_lines, dense_lines) == Lines{});
    REQUIRE(sparse_lines == dense_lines);
    REQUIRE(sparse.taken == dense.taken);
    alerts += sparse_lines.size();
  }
  CHECK(alerts > 300);
}
