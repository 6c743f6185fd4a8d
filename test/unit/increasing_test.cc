// The increasing detector: the mirror image of dropping, with which it shares its code. Here is
// what differs; weeks of seven days from kDay0 on, the fourth of them the window.
#include <cmath>

#include "deadlines.h"

using namespace heartbeatd;

namespace {

const EventTime kDay0 = At("2026-01-05");
constexpr const char* kMeasure = "{type: purchase, sum: amount, distinct: item}";

std::string RuleText(std::string_view fields, std::string_view measure = kMeasure) {
  return fmt::format(
      "measures: {{m: {}}}\nrules:\n  - {{id: r, detector: increasing, measure: m, {}}}\n", measure,
      fields);
}

// Known for long before the first of the weeks; then so many purchases in each of them.
OneCustomer Weeks(std::string_view fields, const std::vector<int>& weeks) {
  OneCustomer customer(RuleText(fields));
  customer.Purchase(kDay0 - Days(200), 1);
  EventTime week = kDay0;
  for (const int n : weeks) {
    for (int i = 0; i < n; ++i) customer.Purchase(week + Hours(9) + Ms(i), 1);
    week = week + Days(7);
  }
  customer.AdvanceTo(week);
  return customer;
}

constexpr const char* kLeast = ", minimum: {baseline_count: 1, observed_for: 28d}";

// P(X >= k), X ~ Bin(n, p), summed term by term.
long double UpperSum(int k, int n, long double p) {
  long double sum = 0;
  for (int i = k; i <= n; ++i) {
    sum += expl(lgammal(n + 1.0L) - lgammal(i + 1.0L) - lgammal(n - i + 1.0L) + i * logl(p) +
                (n - i) * log1pl(-p));
  }
  return sum;
}

}  // namespace

TEST_CASE("increasing: the window against the baseline, to the last event") {
  struct Row {
    const char* fields;
    std::vector<int> weeks;  // the last one is the window
    bool fires;
  };
  const Row row = GENERATE(values<Row>({
      {"window: 7d, ratio: 1.5", {10, 10, 10, 15}, true},
      {"window: 7d, ratio: 1.5", {10, 10, 10, 14}, false},
      {"window: 7d, ratio: 1.5", {10, 10, 11, 15}, false},
      {"window: 7d, ratio: 1", {3, 3, 3, 3}, true},
      {"window: 7d, ratio: 2, baseline: {periods: 1}", {90, 90, 10, 20}, true},
      {"window: 7d, ratio: 2, baseline: {periods: 1}", {90, 90, 10, 19}, false},
      // each: strictly above every one
      {"window: 7d, ratio: 1, compare: each", {3, 9, 4, 10}, true},
      {"window: 7d, ratio: 1, compare: each", {3, 9, 4, 9}, false},
      {"window: 7d, ratio: 2, compare: each", {3, 9, 4, 19}, true},
      {"window: 7d, ratio: 2, compare: each", {3, 9, 4, 18}, false},
      {"window: 7d, ratio: 2, compare: median", {3, 90, 4, 8}, true},
      {"window: 7d, ratio: 2, compare: median", {3, 90, 4, 7}, false},
      // nothing to compare with: from nothing to something is no increase
      {"window: 7d, ratio: 1.5", {0, 0, 0, 9}, false},
      {"window: 7d, ratio: 1.5, compare: median", {0, 0, 9, 9}, false},
  }));
  CAPTURE(row.fields, row.weeks);
  OneCustomer customer = Weeks(std::string(row.fields) + kLeast, row.weeks);
  const Lines fired{"2026-02-02T00:00:00Z r firing above_baseline"};
  Lines at_the_close;
  for (const std::string& line : customer.Take()) {
    if (line == fired[0]) at_the_close.push_back(line);
  }
  // It may have risen on the way too: then it is firing already.
  const std::vector<Episode>& episodes = customer.state.rules[0].episodes;
  const bool firing = !episodes.empty() && episodes[0].phase == Episode::Phase::kFiring;
  CHECK(firing == row.fires);
}

TEST_CASE("increasing: fires at the close, tells its numbers, ends when the window comes down") {
  OneCustomer customer(RuleText("window: 7d, ratio: 1.5, p_value: 0.05" + std::string(kLeast)));
  for (int day = 0; day < 35; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9), 20);
  for (int i = 0; i < 8; ++i) customer.Purchase(kDay0 + Days(34) + Hours(10 + i), 20);
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(35) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(35));
  REQUIRE(customer.Take() == Lines{"2026-02-09T00:00:00Z r firing above_baseline"});
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(data["detector"] == "increasing");
  CHECK(data["observed"]["count"] == 15);
  CHECK(data["baseline"]["count"] == 21);
  CHECK(data["ratio"] == 2.14286);
  CHECK(data["p_value"].get<double>() ==
        Approx(static_cast<double>(UpperSum(15, 36, 0.25L))).epsilon(1e-5));
  // The burst stays in the window for seven closes; then it has moved into the baseline.
  for (int day = 35; day < 45; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9), 20);
  CHECK(customer.Take() == Lines{"2026-02-16T00:00:00Z r resolved recovered"});
}

TEST_CASE("increasing: a level that stays becomes the usual one") {
  OneCustomer customer(RuleText("window: 7d, ratio: 1.5" + std::string(kLeast)));
  for (int day = 0; day < 35; ++day) customer.Purchase(kDay0 + Days(day) + Hours(9));
  for (int day = 35; day < 90; ++day) {
    customer.Purchase(kDay0 + Days(day) + Hours(9));
    customer.Purchase(kDay0 + Days(day) + Hours(10));
  }
  const Lines lines = customer.Take();
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0], Catch::EndsWith("firing above_baseline"));
  CHECK_THAT(lines[1], Catch::EndsWith("resolved baseline_faded"));
}

TEST_CASE("increasing: p-values equal the sums of binomial terms") {
  for (const auto& [k, baseline, periods] : std::vector<std::tuple<int, int, int>>{
           {1, 5, 3}, {9, 10, 3}, {20, 20, 3}, {7, 3, 1}, {30, 60, 4}}) {
    CAPTURE(k, baseline, periods);
    const double expected = static_cast<double>(UpperSum(k, k + baseline, 1.0L / (1 + periods)));
    for (const double slack : {1.00001, 0.99999}) {
      OneCustomer customer(RuleText(fmt::format(
          "window: 7d, p_value: {}, baseline: {{periods: {}}}, minimum: {{baseline_count: 1, "
          "observed_for: 7d}}",
          expected * slack, periods)));
      customer.Purchase(kDay0 - Days(200));
      for (int i = 0; i < baseline; ++i) customer.Purchase(kDay0 + Days(14) + Ms(i));
      for (int i = 0; i < k; ++i) customer.Purchase(kDay0 + Days(27) + Ms(i));
      customer.Take();  // the baseline's own burst
      customer.AdvanceTo(kDay0 + Days(28));
      const std::vector<Episode>& episodes = customer.state.rules[0].episodes;
      const bool firing = !episodes.empty() && episodes[0].phase == Episode::Phase::kFiring &&
                          episodes[0].value == k;
      CHECK(firing == (slack > 1));
    }
  }
}

TEST_CASE("increasing: deadlines miss nothing that judging at every close sees") {
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
    static constexpr const char* kCompares[] = {"mean", "mean", "each", "median"};
    static constexpr const char* kZones[] = {"UTC", "Europe/Berlin", "America/Santiago"};
    const char* value = kValues[pick(0, 4)];
    const bool hourly = chance(0.5);
    const int width = pick(1, 6);
    const int periods = pick(1, 4);
    std::string fields =
        fmt::format("value: {}, window: {}{}, baseline: {{periods: {}, compare: {}}}", value, width,
                    hourly ? "h" : "d", periods, kCompares[pick(0, 3)]);
    const bool p_value = value == kValues[0] && chance(0.5);
    if (p_value) fields += fmt::format(", p_value: 0.{}", pick(1, 9));
    if (!p_value || chance(0.5)) {
      const int ratio = pick(10, 30);
      fields += fmt::format(", ratio: {}.{}", ratio / 10, ratio % 10);
      if (chance(0.4)) {
        const int end = pick(10, ratio);
        fields += fmt::format(", resolve: {{ratio: {}.{}, hold: {}h}}", end / 10, end % 10,
                              chance(0.5) ? 0 : pick(0, 100));
      }
    }
    std::string minimum = fmt::format("baseline_count: {}", pick(1, 8));
    if (chance(0.6)) minimum += fmt::format(", observed_for: {}h", pick(0, hourly ? 40 : 500));
    fields += ", minimum: {" + minimum + "}";
    if (chance(0.3)) fields += fmt::format(", hold: {}h", pick(1, hourly ? 12 : 200));
    if (chance(0.3)) fields += fmt::format(", cooldown: {}h", pick(1, hourly ? 30 : 300));
    const std::string yaml =
        fmt::format("time: {{zone: {}}}\n", kZones[pick(0, 2)]) +
        RuleText(fields,
                 fmt::format("{{type: purchase, sum: amount, distinct: item, resolution: {}}}",
                             hourly ? "1h" : "1d"));
    const bool negative_amounts = chance(0.2);
    CAPTURE(round, yaml, negative_amounts);
    const RandomLife life{.looks = hourly ? Resolution::kHour : Resolution::kDay,
                          .events = 80,
                          .uneven = 2.5,
                          .late_max = 3 * width,
                          .quiet_after = width * (periods + 3),
                          .event = [&](int) {
                            return fmt::format(
                                R"("type":"{}","amount":{},"properties":{{"item":{}}})",
                                chance(0.05) ? "refund" : "purchase",
                                pick(negative_amounts ? -20 : 0, 20), pick(0, 4));
                          }};
    alerts += CompareLookers(yaml, life, random);
  }
  CHECK(alerts > 300);
}
