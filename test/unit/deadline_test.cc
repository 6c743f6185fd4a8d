// The deadline detector: a date comes near, unless it is renewed or cancelled.
#include "deadlines.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-01-01T12:00:00Z");

std::string RuleText(std::string_view fields = "of: subscription", std::string_view zone = "UTC") {
  return fmt::format("time: {{zone: {}}}\nrules:\n  - {{id: r, detector: deadline, {}}}\n", zone,
                     fields);
}

// A subscription event; `properties` as {"status":"started",...}
void Say(OneCustomer& customer, EventTime at, std::string_view properties) {
  customer.On(at, fmt::format(R"("type":"subscription","properties":{})", properties));
}

Lines Keyed(OneCustomer& customer) {
  Lines lines = customer.Take();
  for (size_t i = 0; i < lines.size(); ++i)
    lines[i] += " " + customer.taken[i]["data"].value("key", "-");
  return lines;
}

constexpr const char* kStarted = R"({"status":"started","ends_at":"2026-04-01T00:00:00Z"})";

}  // namespace

TEST_CASE("deadline: each time before the date, to the millisecond, and the date itself") {
  OneCustomer customer(RuleText());
  Say(customer, kT, kStarted);
  customer.AdvanceTo(At("2026-03-02") - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At("2026-03-02"));
  CHECK(Keyed(customer) ==
        Lines{"2026-03-02T00:00:00Z r firing deadline_near 2026-04-01T00:00:00Z:30d"});
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(data["observed"] ==
        nlohmann::json::parse(R"({"of":"subscription","ends_at":"2026-04-01T00:00:00Z"})"));
  CHECK(data["threshold"] == nlohmann::json::parse(R"({"before":"30d"})"));
  customer.AdvanceTo(At("2026-04-02"));
  CHECK(Keyed(customer) ==
        Lines{"2026-03-25T00:00:00Z r firing deadline_near 2026-04-01T00:00:00Z:7d",
              "2026-04-01T00:00:00Z r firing deadline_reached 2026-04-01T00:00:00Z:0d"});
  // Renewed after all: everything that was said of the old end is over.
  Say(customer, At("2026-04-10"), R"({"status":"renewed","ends_at":"2027-04-01T00:00:00Z"})");
  const Lines lines = customer.Take();
  CHECK(lines == Lines(3, "2026-04-10T00:00:00Z r resolved renewed"));
  CHECK(customer.taken[0]["data"]["observed"]["now_ends_at"] == "2027-04-01T00:00:00Z");
  customer.AdvanceTo(At("2027-03-02"));
  CHECK(Keyed(customer) ==
        Lines{"2027-03-02T00:00:00Z r firing deadline_near 2027-04-01T00:00:00Z:30d"});
}

TEST_CASE("deadline: what the term becomes meanwhile") {
  struct Row {
    const char* properties;  // said on March 10, between the two warnings
    Lines alerts;            // from then until June
  };
  const std::string fired = "2026-03-25T00:00:00Z r firing deadline_near";
  const std::string reached = "2026-04-01T00:00:00Z r firing deadline_reached";
  const Row row = GENERATE_COPY(values<Row>({
      {R"({"status":"cancelled"})", {"2026-03-10T00:00:00Z r resolved cancelled"}},
      {R"({"status":"canceled","ends_at":"2026-04-01T00:00:00Z"})",
       {"2026-03-10T00:00:00Z r resolved cancelled"}},
      {R"({"status":"renewed"})", {"2026-03-10T00:00:00Z r resolved renewed"}},
      {R"({"status":"renewed","ends_at":"2027-04-01"})",
       {"2026-03-10T00:00:00Z r resolved renewed"}},
      {R"({"ends_at":"2026-12-01"})", {"2026-03-10T00:00:00Z r resolved renewed"}},
      // Shorter than was said: warned anew, as far as there is time.
      {R"({"status":"started","ends_at":"2026-03-20"})",
       {"2026-03-10T00:00:00Z r resolved corrected", "2026-03-13T00:00:00Z r firing deadline_near",
        "2026-03-20T00:00:00Z r firing deadline_reached"}},
      // Nothing new.
      {R"({"status":"expired"})", {"2026-03-10T00:00:00Z r resolved expired"}},
      {R"({"status":"paused"})", {fired, reached}},
      {R"({"status":"cancelled","plan":"another"})", {fired, reached}},
      // Without an end that can be read: until it is cancelled.
      {R"({"status":"started","ends_at":"soon"})", {"2026-03-10T00:00:00Z r resolved renewed"}},
  }));
  CAPTURE(row.properties);
  OneCustomer customer(RuleText());
  Say(customer, kT, kStarted);
  customer.AdvanceTo(At("2026-03-10"));
  REQUIRE(customer.Take().size() == 1);
  Say(customer, At("2026-03-10"), row.properties);
  customer.AdvanceTo(At("2026-06-01"));
  CHECK(customer.Take() == row.alerts);
}

TEST_CASE("deadline: times before the date that had passed when it was told are not told") {
  OneCustomer customer(RuleText());
  // A month's subscription: "30 days left" on the first day helps nobody.
  Say(customer, At("2026-03-02"), kStarted);
  customer.AdvanceTo(At("2026-03-24"));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At("2026-03-25"));
  CHECK(customer.Take().size() == 1);
  // Over already.
  OneCustomer late(RuleText());
  Say(late, At("2026-04-01"), kStarted);
  late.AdvanceTo(At("2027-04-01"));
  CHECK(late.Take() == Lines{});
}

TEST_CASE("deadline: plans are terms of their own") {
  OneCustomer customer(RuleText("of: subscription, before: 7d"));
  Say(customer, kT, R"({"status":"started","plan":"music","ends_at":"2026-02-08"})");
  Say(customer, kT, R"({"status":"started","plan":"films: all","ends_at":"2026-02-09"})");
  customer.AdvanceTo(At("2026-02-03"));
  CHECK(Keyed(customer) ==
        Lines{"2026-02-01T00:00:00Z r firing deadline_near 2026-02-08T00:00:00Z:7d:music",
              "2026-02-02T00:00:00Z r firing deadline_near 2026-02-09T00:00:00Z:7d:films: all"});
  CHECK(customer.taken[1]["data"]["observed"]["name"] == "films: all");
  CHECK(customer.taken[1]["data"]["threshold"]["before"] == "7d");
  Say(customer, At("2026-02-03"), R"({"status":"cancelled","plan":"films: all"})");
  CHECK(Keyed(customer) ==
        Lines{"2026-02-03T00:00:00Z r resolved cancelled 2026-02-09T00:00:00Z:7d:films: all"});
  // Without a plan it is about what was told last: of films, which is over.
  Say(customer, At("2026-02-04"), R"({"status":"renewed","ends_at":"2026-03-09"})");
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At("2026-03-03"));
  CHECK(Keyed(customer) ==
        Lines{"2026-03-02T00:00:00Z r firing deadline_near 2026-03-09T00:00:00Z:7d:films: all"});
}

TEST_CASE("deadline: what comes in late") {
  // Renewed on March 1; the news arrives on March 10, when the first warning is out.
  OneCustomer renewed(RuleText());
  Say(renewed, kT, kStarted);
  renewed.AdvanceTo(At("2026-03-10"));
  REQUIRE(renewed.Take().size() == 1);
  Say(renewed, At("2026-03-01"), R"({"status":"renewed","ends_at":"2027-04-01"})");
  CHECK(renewed.Take() == Lines{"2026-03-10T00:00:00Z r resolved corrected"});
  // Older than what is known.
  Say(renewed, At("2026-02-01"), R"({"status":"cancelled"})");
  renewed.AdvanceTo(At("2027-03-03"));
  CHECK(renewed.Take().size() == 1);
  // The beginning itself, when the first warning should have been out for a week.
  OneCustomer begun(RuleText());
  begun.AdvanceTo(At("2026-03-09"));
  Say(begun, kT, kStarted);
  CHECK(begun.Take() == Lines{"2026-03-02T00:00:00Z r firing deadline_near"});
}

TEST_CASE("deadline: calendar days of the zone, through a change to daylight saving time") {
  // Clocks go forward in Berlin on 2026-03-29: seven days before a midnight is a midnight.
  OneCustomer customer(RuleText("of: contract, before: [7d, 36h]", "Europe/Berlin"));
  customer.On(kT, R"("type":"contract","properties":{"status":"started","ends_at":"2026-04-02"})");
  customer.AdvanceTo(At("2026-04-03"));
  // April 2 begins at 22:00 UTC; March 26, before the change, at 23:00.
  CHECK(customer.Take() == Lines{"2026-03-25T23:00:00Z r firing deadline_near",
                                 "2026-03-31T10:00:00Z r firing deadline_near"});
}

TEST_CASE("deadline: a date of one's own") {
  OneCustomer customer(
      RuleText("of: {type: booking, property: arrival, correlate: number, cancelled_by: {type: "
               "booking_cancelled}}, before: [3d, 12h], forget_after: 2d"));
  const auto booking = [&](EventTime at, std::string_view type, int number, std::string_view more) {
    customer.On(at,
                fmt::format(R"("type":"{}","properties":{{"number":{}{}}})", type, number, more));
  };
  booking(kT, "booking", 7, R"(,"arrival":"2026-02-10T15:00:00+01:00")");
  booking(kT, "booking", 8, fmt::format(R"(,"arrival":{})", At("2026-02-20").ms()));
  customer.AdvanceTo(At("2026-02-08"));
  CHECK(Keyed(customer) ==
        Lines{"2026-02-07T14:00:00Z r firing deadline_near 2026-02-10T14:00:00Z:3d:7"});
  booking(At("2026-02-08"), "booking_cancelled", 7, "");
  CHECK(Keyed(customer) ==
        Lines{"2026-02-08T00:00:00Z r resolved cancelled 2026-02-10T14:00:00Z:3d:7"});
  booking(At("2026-02-07"), "booking_cancelled", 8, "");  // late, and taken back by the next line
  booking(At("2026-02-09"), "booking", 8, R"(,"arrival":"2026-02-20")");
  customer.AdvanceTo(At("2026-03-20"));
  CHECK(Keyed(customer) ==
        Lines{"2026-02-17T00:00:00Z r firing deadline_near 2026-02-20T00:00:00Z:3d:8",
              "2026-02-19T12:00:00Z r firing deadline_near 2026-02-20T00:00:00Z:12h:8",
              "2026-02-22T00:00:00Z r resolved expired 2026-02-20T00:00:00Z:12h:8",
              "2026-02-22T00:00:00Z r resolved expired 2026-02-20T00:00:00Z:3d:8"});
}

TEST_CASE("deadline: memory is bounded, and goes when nothing comes near any more") {
  OneCustomer customer(RuleText());
  for (int i = 0; i < 100; ++i) {
    Say(customer, kT + Ms(i),
        fmt::format(R"({{"status":"started","plan":"p{}","ends_at":"2026-04-01"}})", i));
  }
  customer.AdvanceTo(At("2026-04-02"));
  CHECK(customer.Take().size() == 16 * 3);
  customer.AdvanceTo(At("2027-01-01"));
  CHECK(customer.state.rules[0].episodes.empty());
  CHECK(customer.state.rules[0].memory.empty());

  OneCustomer own(RuleText("of: {type: booking, property: arrival, correlate: number}"));
  for (int i = 0; i < 100; ++i) {
    own.On(kT + Ms(i), fmt::format(R"("type":"booking","properties":{{"number":{},)"
                                   R"("arrival":"2026-04-01"}})",
                                   i));
  }
  CHECK(own.state.rules[0].memory.size() < 16 * 20);
  own.AdvanceTo(At("2027-01-01"));
  CHECK(own.Take().size() == 2 * 16 * 3);
  CHECK(own.state.rules[0].episodes.empty());
  CHECK(own.state.rules[0].memory.empty());
}

TEST_CASE("deadline: products and services of one plan are two terms") {
  OneCustomer customer(RuleText("of: subscription, before: 7d"));
  Say(customer, kT, R"({"status":"started","ends_at":"2026-02-08"})");
  Say(customer, kT, R"({"status":"started","kind":"product","ends_at":"2026-02-09"})");
  customer.AdvanceTo(At("2026-02-08"));
  CHECK(Keyed(customer) ==
        Lines{"2026-02-01T00:00:00Z r firing deadline_near 2026-02-08T00:00:00Z:7d",
              "2026-02-02T00:00:00Z r firing deadline_near 2026-02-09T00:00:00Z:7d::product"});
}

TEST_CASE("deadline: the same date told again changes nothing") {
  OneCustomer customer(RuleText());
  Say(customer, kT, kStarted);
  customer.AdvanceTo(At("2026-03-10"));
  REQUIRE(customer.Take().size() == 1);
  Say(customer, At("2026-03-10"), R"({"ends_at":"2026-04-01"})");
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(At("2026-04-01"));
  Say(customer, At("2026-04-01T03:00:00Z"), R"({"status":"expired"})");
  customer.AdvanceTo(At("2026-05-01"));
  CHECK(customer.Take() == Lines{"2026-03-25T00:00:00Z r firing deadline_near",
                                 "2026-04-01T00:00:00Z r firing deadline_reached"});
}

TEST_CASE("deadline: deadlines miss nothing that looking every hour sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  size_t alerts = 0;
  for (int round = 0; round < 100; ++round) {
    const bool own = pick(0, 1) == 0;
    std::string fields = own ? "of: {type: booking, property: ends_at, correlate: plan, "
                               "cancelled_by: {type: subscription}}"
                             : "of: subscription";
    fields += fmt::format(", before: [{}d, {}h, 0d], forget_after: {}h", pick(2, 6), pick(1, 47),
                          pick(1, 100));
    if (pick(0, 2) == 0) fields += fmt::format(", hold: {}h", pick(1, 20));
    if (pick(0, 2) == 0) fields += fmt::format(", resolve: {{hold: {}h}}", pick(1, 20));
    CAPTURE(round, fields);
    const RandomLife life{
        .looks = Resolution::kHour,
        .events = 40,
        .pace = 0.04,
        .uneven = 1,
        .late_max = 100,
        .quiet_after = 400,
        .event = [&](int) {
          static constexpr const char* kStatus[] = {"started", "renewed", "cancelled", "expired"};
          std::string said = fmt::format(R"("status":"{}")", kStatus[pick(0, 3)]);
          if (pick(0, 3) > 0)
            said += fmt::format(R"(,"ends_at":"2026-{:02}-{:02}")", pick(4, 6), pick(1, 28));
          if (pick(0, 2) > 0) said += fmt::format(R"(,"plan":"{}")", pick(0, 1));
          return fmt::format(R"("type":"{}","properties":{{{}}})",
                             own && pick(0, 3) > 0 ? "booking" : "subscription", said);
        }};
    alerts +=
        CompareLookers(RuleText(fields, pick(0, 1) == 0 ? "UTC" : "Europe/Berlin"), life, random);
  }
  CHECK(alerts > 200);
}
