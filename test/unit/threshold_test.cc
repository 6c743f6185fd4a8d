// The threshold detector: a window that ends with the running bucket, below or above a number.
#include <cmath>

#include "deadlines.h"

using namespace heartbeatd;

namespace {

const EventTime kDay0 = At("2026-01-05");
constexpr const char* kMeasure = "{type: purchase, sum: amount, distinct: item}";

std::string RuleText(std::string_view fields, std::string_view measure = kMeasure) {
  return fmt::format(
      "measures: {{m: {}}}\nrules:\n  - {{id: r, detector: threshold, measure: m, {}}}\n", measure,
      fields);
}

}  // namespace

TEST_CASE("threshold: above is seen at the very event, and ends when the bucket leaves") {
  OneCustomer customer(RuleText("window: 30d, above: 5"));
  for (int i = 0; i < 4; ++i) customer.Purchase(kDay0 + Days(i) + Hours(9), 20);
  CHECK(customer.Take() == Lines{});
  customer.Purchase(kDay0 + Days(10) + Hours(9), 20);
  REQUIRE(customer.Take() == Lines{"2026-01-15T09:00:00Z r firing above_threshold"});
  CHECK(customer.taken[0]["data"]["observed"] ==
        nlohmann::json::parse(R"({"measure":"m","window":"30d","count":5})"));
  CHECK(customer.taken[0]["data"]["threshold"] == nlohmann::json::parse(R"({"above":5})"));
  // The window is 30 calendar days, today included: the first purchase leaves it on day 30.
  customer.AdvanceTo(kDay0 + Days(30) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(30));
  CHECK(customer.Take() == Lines{"2026-02-04T00:00:00Z r resolved fell_back"});
}

TEST_CASE("threshold: above counts a burst of one day, and each purchase once") {
  OneCustomer customer(RuleText("window: 1d, above: 3"));
  for (int i = 0; i < 6; ++i) customer.Purchase(kDay0 + Hours(9 + i));
  CHECK(customer.Take() == Lines{"2026-01-05T11:00:00Z r firing above_threshold"});
  customer.AdvanceTo(kDay0 + Days(3));
  CHECK(customer.Take() == Lines{"2026-01-06T00:00:00Z r resolved fell_back"});
}

TEST_CASE("threshold: below, once the customer has been observed for long enough") {
  OneCustomer customer(RuleText("window: 7d, below: 1"));
  customer.Purchase(kDay0 + Hours(9));
  // On day 7 the only purchase leaves the window, and seven days lie behind its day.
  customer.AdvanceTo(kDay0 + Days(7) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(7));
  CHECK(customer.Take() == Lines{"2026-01-12T00:00:00Z r firing below_threshold"});
  customer.AdvanceTo(kDay0 + Days(700));
  CHECK(customer.Take() == Lines{});
  customer.Purchase(kDay0 + Days(700) + Hours(3));
  CHECK(customer.Take() == Lines{"2027-12-06T03:00:00Z r resolved recovered"});
}

TEST_CASE("threshold: too young") {
  // Two are asked for; one came. It is too few from the day on that has been observed for so long.
  struct Row {
    const char* minimum;
    int day;
  };
  const Row row = GENERATE(values<Row>({{"", 7},
                                        {", minimum: {observed_for: 0s}", 0},
                                        {", minimum: {observed_for: 3d}", 3},
                                        {", minimum: {observed_for: 28d}", 28}}));
  CAPTURE(row.minimum);
  OneCustomer customer(RuleText(fmt::format("window: 7d, below: 2{}", row.minimum)));
  customer.Purchase(kDay0 + Hours(9));
  const EventTime due = row.day == 0 ? kDay0 + Hours(9) : kDay0 + Days(row.day);
  if (row.day > 0) {
    customer.AdvanceTo(due - Ms(1));
    CHECK(customer.Take() == Lines{});
  }
  customer.AdvanceTo(due);
  CHECK(customer.Take() == Lines{FormatRfc3339(due) + " r firing below_threshold"});
}

TEST_CASE("threshold: the value that counts") {
  struct Row {
    const char* fields;
    bool fires;
  };
  // Three purchases on two days, of two items, for 30.3.
  const Row row = GENERATE(values<Row>({{"above: 3", true},
                                        {"above: 4", false},
                                        {"value: days, above: 2", true},
                                        {"value: days, above: 3", false},
                                        {"value: distinct, above: 2", true},
                                        {"value: distinct, above: 3", false},
                                        {"value: sum, above: 30.3", true},
                                        {"value: sum, above: 30.300001", false}}));
  CAPTURE(row.fields);
  OneCustomer customer(RuleText(fmt::format("window: 7d, {}", row.fields)));
  for (const auto& [at, item] : std::vector<std::pair<EventTime, int>>{
           {kDay0 + Hours(9), 1}, {kDay0 + Hours(10), 2}, {kDay0 + Days(1), 1}}) {
    customer.On(at,
                fmt::format(R"("type":"purchase","amount":10.1,"properties":{{"item":{}}})", item));
  }
  CHECK((customer.Take().size() == 1) == row.fires);
}

TEST_CASE("threshold: days of the zone, through a change to daylight saving time") {
  // 2026-03-29 has 23 hours in Berlin: the window of two days falls empty at its own midnight.
  OneCustomer customer("time: {zone: Europe/Berlin}\n" + RuleText("window: 2d, below: 1"));
  customer.Purchase(At("2026-03-28T12:00:00Z"));
  customer.AdvanceTo(At("2026-03-29T22:00:00Z") - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At("2026-03-29T22:00:00Z"));
  CHECK(customer.Take() == Lines{"2026-03-29T22:00:00Z r firing below_threshold"});
}

TEST_CASE("threshold: thresholds of its own for the end") {
  OneCustomer customer(RuleText("window: 7d, above: 5, resolve: {above: 3}"));
  for (int day = 0; day < 5; ++day) customer.Purchase(kDay0 + Days(day));
  CHECK(customer.Take().size() == 1);
  customer.AdvanceTo(kDay0 + Days(9) - Ms(1));  // three are left
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(9));
  CHECK(customer.Take() == Lines{"2026-01-14T00:00:00Z r resolved fell_back"});
}

TEST_CASE("threshold: late events and refunds correct") {
  OneCustomer below(RuleText("window: 7d, below: 1"));
  below.Purchase(kDay0 + Hours(9));
  below.AdvanceTo(kDay0 + Days(8));
  REQUIRE(below.Take().size() == 1);
  below.Purchase(kDay0 + Days(3));
  CHECK(below.Take() == Lines{"2026-01-13T00:00:00Z r resolved corrected"});

  OneCustomer above(RuleText("value: sum, window: 7d, above: 100"));
  above.Purchase(kDay0, 100);
  REQUIRE(above.Take().size() == 1);
  above.On(kDay0 + Days(1), R"("type":"refund","amount":40)");
  CHECK(above.Take() == Lines{"2026-01-06T00:00:00Z r resolved corrected"});
}

TEST_CASE("threshold: deadlines miss nothing that looking at every bucket sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(random); };
  size_t alerts = 0;
  for (int round = 0; round < 400; ++round) {
    static constexpr const char* kValues[] = {"count", "sum", "distinct", "days"};
    static constexpr const char* kZones[] = {"UTC", "Europe/Berlin", "America/Santiago"};
    const char* value = kValues[pick(0, 3)];
    const bool hourly = chance(0.5);
    const int width = pick(1, 8);
    const bool below = chance(0.5);
    const int limit = value == kValues[1] ? pick(1, 60) : pick(1, 5);
    std::string fields = fmt::format("value: {}, window: {}{}, {}: {}", value, width,
                                     hourly ? "h" : "d", below ? "below" : "above", limit);
    if (chance(0.4))
      fields += fmt::format(", resolve: {{{}: {}}}", below ? "below" : "above",
                            below ? limit + pick(0, 3) : std::max(1, limit - pick(0, 3)));
    if (chance(0.5))
      fields += fmt::format(", minimum: {{observed_for: {}h}}", pick(0, hourly ? 20 : 300));
    if (chance(0.3)) fields += fmt::format(", hold: {}h", pick(1, hourly ? 12 : 100));
    if (chance(0.3)) fields += fmt::format(", cooldown: {}h", pick(1, hourly ? 30 : 300));
    const std::string yaml =
        fmt::format("time: {{zone: {}}}\n", kZones[pick(0, 2)]) +
        RuleText(fields,
                 fmt::format("{{type: purchase, sum: amount, distinct: item, resolution: {}}}",
                             hourly ? "1h" : "1d"));
    const bool negative_amounts = chance(0.2);
    CAPTURE(round, yaml, negative_amounts);
    const RandomLife life{.looks = hourly ? Resolution::kHour : Resolution::kDay,
                          .pace = 0.7,
                          .uneven = 1,
                          .late_max = 2 * width,
                          .quiet_after = width + 400,
                          .event = [&](int) {
                            return fmt::format(
                                R"("type":"{}","amount":{},"properties":{{"item":{}}})",
                                chance(0.1) ? "refund" : "purchase",
                                pick(negative_amounts ? -20 : 0, 20), pick(0, 4));
                          }};
    alerts += CompareLookers(yaml, life, random);
  }
  CHECK(alerts > 300);
}
