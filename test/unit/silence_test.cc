// The silence detector. Most tests begin with four weekly purchases, the last one on 2026-01-26 at
// 09:00; with a population gap of 10 days and one false alert in 20 customer-weeks the lapse score
// then reaches its threshold on 2026-02-28 at 12:00:24.480 (computed with 60 digits from the
// formula).
#include <map>

#include "one_customer.h"

using namespace heartbeatd;

namespace {

const EventTime kLast = At("2026-01-26T09:00:00Z");
const EventTime kDue = At("2026-02-28T12:00:24.480Z");

std::string RuleText(std::string_view fields = "false_alerts: 0.05",
                     std::string_view measure = "{type: purchase, population_gap: 10d}") {
  return fmt::format(
      "measures: {{m: {}}}\nrules:\n  - {{id: quiet, detector: silence, measure: m{}{}}}\n",
      measure, fields.empty() ? "" : ", ", fields);
}

// With `days` weekly purchases before it.
OneCustomer Weekly(const std::string& yaml, int days = 4) {
  OneCustomer customer(yaml);
  for (int i = days - 1; i >= 0; --i) customer.Purchase(kLast - Days(7 * i));
  CHECK(customer.Take() == Lines{});
  return customer;
}

}  // namespace

TEST_CASE("silence: fires at the millisecond at which the score reaches its threshold") {
  OneCustomer customer = Weekly(RuleText());
  customer.AdvanceTo(kDue - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kDue);
  CHECK(customer.Take() == Lines{"2026-02-28T12:00:24.480Z quiet firing silent_too_long"});
  CHECK(customer.taken[0]["data"]["starts_at"] == "2026-02-28T12:00:24.480Z");
  customer.AdvanceTo(kDue + Days(5000));  // and never again in the same gap
  CHECK(customer.Take() == Lines{});
}

TEST_CASE("silence: when it falls due") {
  struct Row {
    const char* fields;
    const char* measure;
    const char* due;
  };
  const Row row = GENERATE(values<Row>({
      {"false_alerts: 0.05", "{type: purchase, population_gap: 10d}", "2026-02-28T12:00:24.480Z"},
      {"", "{type: purchase, population_gap: 10d}", "2026-02-28T12:00:24.480Z"},  // the default
      {"false_alerts: 0.02", "{type: purchase, population_gap: 10d}", "2026-03-17T21:30:47.775Z"},
      {"", "{type: purchase, population_gap: 60d}", "2026-03-08T13:23:11.752Z"},
      // The rule's population gap goes before the measure's.
      {"population_gap: 20d", "{type: purchase, population_gap: 60d}", "2026-03-03T02:38:25.381Z"},
      {"population_gap: 20d", "{type: purchase}", "2026-03-03T02:38:25.381Z"},
      // Fixed times, counted from the event, need no rhythm.
      {"after: 30d", "{type: purchase}", "2026-02-25T09:00:00Z"},
      {"after: 1ms", "{type: purchase}", "2026-01-26T09:00:00.001Z"},
      {"after: 30d, minimum: {days: 4}", "{type: purchase}", "2026-02-25T09:00:00Z"},
      // The horizon, where it comes first.
      {"horizon: 20d", "{type: purchase, population_gap: 10d}", "2026-02-15T09:00:00Z"},
  }));
  CAPTURE(row.fields, row.measure);
  OneCustomer customer(RuleText(row.fields, row.measure));
  for (int i = 3; i >= 0; --i) customer.Purchase(kLast - Days(7 * i));
  customer.Take();
  customer.AdvanceTo(At(row.due) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At(row.due));
  CHECK(customer.Take() == Lines{fmt::format("{} quiet firing silent_too_long", row.due)});
}

TEST_CASE(
    "silence: the population gap of the preset or the life cycle serves measures that have none") {
  OneCustomer customer =
      Weekly("lifecycle: {population_gap: 20d}\n" + RuleText("", "{type: purchase}"));
  customer.AdvanceTo(At("2026-03-03T02:38:25.381Z"));
  CHECK(customer.Take() == Lines{"2026-03-03T02:38:25.381Z quiet firing silent_too_long"});
  OneCustomer own = Weekly("lifecycle: {population_gap: 20d}\n" + RuleText());
  own.AdvanceTo(kDue);
  CHECK(own.Take().size() == 1);
}

TEST_CASE("silence: minimum.days counts activity days, the first included") {
  for (const auto& [minimum, fires] : std::map<int, bool>{{1, true}, {4, true}, {5, false}}) {
    CAPTURE(minimum);
    OneCustomer customer(RuleText(fmt::format("minimum: {{days: {}}}", minimum)));
    for (int i = 3; i >= 0; --i) customer.Purchase(kLast - Days(7 * i));
    customer.Purchase(kLast + Ms(1));  // the same day again
    customer.AdvanceTo(kLast + Days(3000));
    CHECK((customer.Take().size() == 1) == fires);
  }
  // The default is 4.
  OneCustomer three(RuleText());
  for (int i = 2; i >= 0; --i) three.Purchase(kLast - Days(7 * i));
  three.AdvanceTo(kLast + Days(3000));
  CHECK(three.Take() == Lines{});
}

TEST_CASE("silence: an event ends it, and the next gap has a moment of its own") {
  OneCustomer customer = Weekly(RuleText());
  customer.AdvanceTo(kDue);
  customer.Take();
  const EventTime back = At("2026-02-28T18:00:00Z");
  customer.On(back - Hours(1), R"("type":"login")");  // no event of the measure
  CHECK(customer.Take() == Lines{});
  customer.Purchase(back);
  CHECK(customer.Take() == Lines{"2026-02-28T18:00:00Z quiet resolved activity_resumed"});
  CHECK(customer.taken[0]["data"]["ends_at"] == "2026-02-28T18:00:00Z");
  CHECK(customer.taken[0]["data"]["starts_at"] == "2026-02-28T12:00:24.480Z");
  customer.AdvanceTo(back + Days(1000));
  // The gaps are now 7, 7, 7 and 33 days: t = 42.749209362 days.
  CHECK(customer.Take() == Lines{"2026-04-12T11:58:51.689Z quiet firing silent_too_long"});
}

TEST_CASE("silence: an event at the very millisecond comes after the alert") {
  OneCustomer customer = Weekly(RuleText());
  customer.Purchase(kDue);
  CHECK(customer.Take() == Lines{"2026-02-28T12:00:24.480Z quiet firing silent_too_long",
                                 "2026-02-28T12:00:24.480Z quiet resolved activity_resumed"});
  OneCustomer just_in_time = Weekly(RuleText());
  just_in_time.Purchase(kDue - Ms(1));
  CHECK(just_in_time.Take() == Lines{});
}

TEST_CASE("silence: what a late event does") {
  struct Row {
    const char* event;
    Lines alerts;
  };
  // The clock stands at 2026-03-05 when the event arrives.
  const Row row = GENERATE(values<Row>({
      // Before the crossing: the customer was never silent for so long.
      {"2026-02-28T12:00:24.479Z", {"2026-03-05T00:00:00Z quiet resolved corrected"}},
      {"2026-01-26T09:00:00.001Z",
       {"2026-03-05T00:00:00Z quiet resolved corrected",
        // ... but for almost as long, and by now again too long.
        "2026-02-28T12:00:24.481Z quiet firing silent_too_long"}},
      // After it: it ended then.
      {"2026-02-28T12:00:24.480Z", {"2026-02-28T12:00:24.480Z quiet resolved activity_resumed"}},
      {"2026-03-01T07:00:00Z", {"2026-03-01T07:00:00Z quiet resolved activity_resumed"}},
      // Before the last event, or on it: it says nothing new.
      {"2026-01-26T09:00:00Z", {}},
      {"2026-01-20T09:00:00Z", {}},
  }));
  CAPTURE(row.event);
  OneCustomer customer = Weekly(RuleText());
  customer.AdvanceTo(At("2026-03-05"));
  REQUIRE(customer.Take().size() == 1);
  customer.Purchase(At(row.event));
  customer.AdvanceTo(At("2026-03-05T01:00:00Z"));
  CHECK(customer.Take() == row.alerts);
}

TEST_CASE("silence: held") {
  SECTION("fires once the hold is over, with the crossing as its start") {
    OneCustomer customer = Weekly(RuleText("hold: 2d"));
    customer.AdvanceTo(kDue + Days(2) - Ms(1));
    CHECK(customer.Take() == Lines{});
    customer.AdvanceTo(kDue + Days(2));
    CHECK(customer.Take() == Lines{"2026-03-02T12:00:24.480Z quiet firing silent_too_long"});
    CHECK(customer.taken[0]["data"]["starts_at"] == "2026-02-28T12:00:24.480Z");
    CHECK(customer.taken[0]["data"]["observed"]["silent_days"] == 33.1253);  // at the crossing
    customer.Purchase(kDue + Days(3));
    CHECK(customer.Take() == Lines{"2026-03-03T12:00:24.480Z quiet resolved activity_resumed"});
  }
  SECTION("an event within the hold: nobody hears of it") {
    OneCustomer customer = Weekly(RuleText("hold: 2d"));
    customer.Purchase(kDue + Days(2) - Ms(1));
    customer.AdvanceTo(kDue + Days(10));
    CHECK(customer.Take() == Lines{});
  }
  SECTION("an event at the end of the hold: the alert goes first") {
    OneCustomer customer = Weekly(RuleText("hold: 2d"));
    customer.Purchase(kDue + Days(2));
    CHECK(customer.Take().size() == 2);
  }
  SECTION("a late event within the hold") {
    OneCustomer customer = Weekly(RuleText("hold: 2d"));
    customer.AdvanceTo(kDue + Days(1));
    customer.Purchase(kDue - Hours(1));
    customer.AdvanceTo(kDue + Days(10));
    CHECK(customer.Take() == Lines{});
  }
}

TEST_CASE("silence: a resolution that is held ends only if the customer stays") {
  OneCustomer customer = Weekly(RuleText("after: 10d, resolve: {hold: 3d}"));
  customer.AdvanceTo(kLast + Days(10));
  REQUIRE(customer.Take().size() == 1);
  customer.Purchase(kLast + Days(11));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kLast + Days(20));
  CHECK(customer.Take() == Lines{"2026-02-09T09:00:00Z quiet resolved activity_resumed"});
}

TEST_CASE(
    "silence: a customer who is silent again before the end is held for long enough stays in the "
    "episode") {
  OneCustomer customer = Weekly(RuleText("after: 10d, resolve: {hold: 30d}"));
  customer.AdvanceTo(kLast + Days(10));
  REQUIRE(customer.Take().size() == 1);
  customer.Purchase(kLast + Days(12));  // silent again from day 22 on
  customer.AdvanceTo(kLast + Days(200));
  CHECK(customer.Take() == Lines{});
  customer.Purchase(kLast + Days(200));
  for (int day = 201; day < 240; ++day) customer.Purchase(kLast + Days(day));
  CHECK(customer.Take() ==
        Lines{"2026-09-13T09:00:00Z quiet resolved activity_resumed"});  // day 230
}

TEST_CASE("silence: the same with a late event that leaves the next crossing in the past") {
  OneCustomer customer = Weekly(RuleText("after: 10d, resolve: {hold: 30d}"));
  customer.AdvanceTo(kLast + Days(30));
  REQUIRE(customer.Take().size() == 1);
  customer.Purchase(kLast + Days(12));
  customer.AdvanceTo(kLast + Days(100));
  CHECK(customer.Take() == Lines{});
  // A look that nobody asked for changes nothing either.
  customer.evaluator.OnRulesChanged("c42", customer.now, customer.now, &customer.state,
                                    &customer.alerts);
  customer.AdvanceTo(kLast + Days(101));
  CHECK(customer.Take() == Lines{});
}

TEST_CASE("silence: the alert's numbers") {
  OneCustomer customer = Weekly(RuleText());
  customer.AdvanceTo(kDue);
  REQUIRE(customer.Take().size() == 1);
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(
      data["observed"] ==
      nlohmann::json::parse(
          R"({"measure":"m","last_event":"2026-01-26T09:00:00Z","silent_days":33.1253,"activity_days":4})"));
  CHECK(data["expected_gap_days"] == 8.27389);
  CHECK(data["overdue_index"] == 4.00359);  // t / m
  CHECK(data["score"] == 2.14613);
  CHECK(data["threshold"] == nlohmann::json::parse(R"({"false_alerts":0.05,"score":2.14613})"));
  // Resolved: the numbers of now.
  customer.Purchase(kDue + Days(1));
  REQUIRE(customer.Take().size() == 1);
  CHECK(customer.taken[0]["data"]["observed"]["silent_days"] == 0.0);
  CHECK(customer.taken[0]["data"]["observed"]["activity_days"] == 5);
}

TEST_CASE("silence: with a fixed time the alert names it") {
  OneCustomer customer = Weekly(RuleText("after: 30d"));
  customer.AdvanceTo(kLast + Days(31));
  REQUIRE(customer.Take().size() == 1);
  CHECK(customer.taken[0]["data"]["threshold"] == nlohmann::json::parse(R"({"after":"30d"})"));
  CHECK(customer.taken[0]["data"]["observed"]["silent_days"] == 30.0);
  CHECK_FALSE(customer.taken[0]["data"].contains("score"));
}

TEST_CASE("silence: activity days are days of the zone") {
  // Two purchases an hour apart, on two days in Berlin and on one in UTC: three days or four.
  for (const auto& [zone, fires] :
       std::map<std::string, bool>{{"UTC", false}, {"Europe/Berlin", true}}) {
    CAPTURE(zone);
    OneCustomer customer("time: {zone: " + zone + "}\n" + RuleText());
    customer.Purchase(At("2026-01-05T12:00:00Z"));
    customer.Purchase(At("2026-01-12T12:00:00Z"));
    customer.Purchase(At("2026-01-19T22:30:00Z"));
    customer.Purchase(At("2026-01-19T23:30:00Z"));
    customer.AdvanceTo(At("2030-01-01"));
    CHECK((customer.Take().size() == 1) == fires);
  }
}
