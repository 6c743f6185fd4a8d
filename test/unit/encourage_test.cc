// The encourage detector: what an engaged customer does not do yet.
#include "deadlines.h"

using namespace heartbeatd;

namespace {

const EventTime kDay0 = At("2026-01-05");

std::string RuleText(std::string_view more = "") {
  return fmt::format(
      R"(measures:
  logins: {{type: login}}
  app: {{type: purchase, where: {{channel: app}}}}
  mobile: {{type: purchase, where: {{payment: mobile}}}}
  categories: {{type: purchase, distinct: category}}
rules:
  - id: r
    detector: encourage
    engaged: {{measure: logins, at_least: 4, within: 28d}}
    behaviours:
      - {{name: buys in the app, measure: app, at_least: 2, within: 28d, weight: 2}}
      - {{name: pays on mobile, measure: mobile, at_least: 1, weight: 5}}
      - {{name: buys from several categories, measure: categories, value: distinct}}
{})",
      more);
}

void Buy(OneCustomer& customer, EventTime at, std::string_view properties) {
  customer.On(at, fmt::format(R"("type":"purchase","amount":5,"properties":{})", properties));
}

// Logs in every week, from day 0 on.
OneCustomer Engaged(int weeks, std::string_view more = "") {
  OneCustomer customer(RuleText(more));
  for (int week = 0; week < weeks; ++week)
    customer.On(kDay0 + Days(7 * week) + Hours(9), R"("type":"login")");
  return customer;
}

Lines Missing(const OneCustomer& customer) {
  Lines names;
  for (const nlohmann::json& one : customer.taken.at(0)["data"]["missing"])
    names.push_back(one["name"].get<std::string>());
  return names;
}

}  // namespace

TEST_CASE("encourage: one alert with the list, the weightiest first") {
  OneCustomer customer = Engaged(5);
  // Engaged on day 21, too young; engaged again with the login of day 28, observed for 28 days.
  REQUIRE(customer.Take() == Lines{"2026-02-02T09:00:00Z r firing behaviours_missing"});
  CHECK(Missing(customer) ==
        Lines{"pays on mobile", "buys in the app", "buys from several categories"});
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(data["adopted"].empty());
  CHECK(
      data["missing"][1] ==
      nlohmann::json::parse(
          R"({"name":"buys in the app","weight":2,"measure":"app","within":"28d","count":0,"at_least":2})"));
  CHECK(data["observed"]["engaged"]["count"] == 4);
}

TEST_CASE("encourage: what is done already is not on the list; none missing, no alert") {
  OneCustomer customer = Engaged(3);
  const EventTime day20 = kDay0 + Days(20);
  Buy(customer, day20, R"({"payment":"mobile","channel":"app","category":"a"})");
  Buy(customer, day20, R"({"channel":"app","category":"b"})");
  Buy(customer, day20, R"({"category":"b"})");
  customer.On(kDay0 + Days(21), R"("type":"login")");
  customer.On(kDay0 + Days(28), R"("type":"login")");
  REQUIRE(customer.Take().size() == 1);
  CHECK(Missing(customer) == Lines{"buys from several categories"});
  CHECK(customer.taken[0]["data"]["adopted"] ==
        nlohmann::json::parse(R"(["pays on mobile","buys in the app"])"));
  // The third category: nothing is missing any more.
  Buy(customer, kDay0 + Days(29) + Hours(8), R"({"category":"c"})");
  CHECK(customer.Take() == Lines{"2026-02-03T08:00:00Z r resolved all_adopted"});
  // On day 48 what was bought on day 20 has left the window. Who is engaged still hears of it.
  for (const int day : {31, 35, 42}) customer.On(kDay0 + Days(day), R"("type":"login")");
  customer.AdvanceTo(kDay0 + Days(48) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDay0 + Days(48));
  CHECK(customer.Take() == Lines{"2026-02-22T00:00:00Z r firing behaviours_missing"});
}

TEST_CASE("encourage: who is not engaged hears nothing, and who no longer is hears no more") {
  OneCustomer seldom(RuleText());
  for (int i = 0; i < 12; ++i) seldom.On(kDay0 + Days(10 * i), R"("type":"login")");
  CHECK(seldom.Take() == Lines{});

  OneCustomer leaves = Engaged(5);
  REQUIRE(leaves.Take().size() == 1);
  // Of the logins on days 7, 14, 21, 28 the first leaves the window on day 35.
  leaves.AdvanceTo(kDay0 + Days(35) - Ms(1));
  CHECK(leaves.Take() == Lines{});
  leaves.AdvanceTo(kDay0 + Days(35));
  CHECK(leaves.Take() == Lines{"2026-02-09T00:00:00Z r resolved no_longer_engaged"});
}

TEST_CASE("encourage: too young") {
  // A burst on one day is engagement, but nobody has had the time for habits.
  OneCustomer burst(RuleText());
  for (int i = 0; i < 10; ++i) burst.On(kDay0 + Hours(i), R"("type":"login")");
  burst.AdvanceTo(kDay0 + Days(27));
  CHECK(burst.Take() == Lines{});
  OneCustomer at_once(RuleText("    minimum: {observed_for: 0s}\n"));
  for (int i = 0; i < 10; ++i) at_once.On(kDay0 + Hours(i), R"("type":"login")");
  CHECK(at_once.Take() == Lines{"2026-01-05T03:00:00Z r firing behaviours_missing"});
}

TEST_CASE("encourage: purchases that come in late show that nothing was missing") {
  OneCustomer customer = Engaged(5);
  REQUIRE(customer.Take().size() == 1);
  const EventTime day25 = kDay0 + Days(25);
  Buy(customer, day25, R"({"payment":"mobile","channel":"app","category":"a"})");
  Buy(customer, day25, R"({"channel":"app","category":"b"})");
  CHECK(customer.Take() == Lines{});
  Buy(customer, day25, R"({"category":"c"})");
  CHECK(customer.Take() == Lines{"2026-02-02T09:00:00Z r resolved corrected"});
}

TEST_CASE("encourage: deadlines miss nothing that looking at every bucket sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  size_t alerts = 0;
  for (int round = 0; round < 200; ++round) {
    const std::string yaml = fmt::format(
        R"(time: {{zone: {}}}
measures:
  visits: {{type: [login, purchase]}}
  money: {{type: purchase, sum: amount}}
  items: {{type: purchase, distinct: item, resolution: 1h}}
rules:
  - id: r
    detector: encourage
    engaged: {{measure: visits, value: days, at_least: {}, within: {}d}}
    behaviours:
      - {{name: spend, measure: money, value: sum, at_least: {}, within: {}d}}
      - {{name: try things, measure: items, value: distinct, at_least: {}, within: {}h}}
    minimum: {{observed_for: {}h}}
    hold: {}h
)",
        pick(0, 1) == 0 ? "UTC" : "America/Santiago", pick(1, 3), pick(2, 6), pick(1, 40),
        pick(1, 8), pick(1, 3), pick(5, 100), pick(0, 200), pick(0, 3) * 10);
    CAPTURE(round, yaml);
    const RandomLife life{
        .looks = Resolution::kHour,
        .pace = 0.04,
        .uneven = 1.5,
        .late_max = 60,
        .quiet_after = 300,
        .event = [&](int) {
          static constexpr const char* kTypes[] = {"login", "purchase", "purchase", "refund"};
          return fmt::format(R"("type":"{}","amount":{},"properties":{{"item":{}}})",
                             kTypes[pick(0, 3)], pick(0, 30), pick(0, 3));
        }};
    alerts += CompareLookers(yaml, life, random);
  }
  CHECK(alerts > 200);
}
