// The follow_up detector: one event asks for another within a time.
#include <map>
#include <random>
#include <set>

#include "deadlines.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-02T10:00:00Z");

std::string RuleText(std::string_view fields) {
  return fmt::format("rules:\n  - {{id: r, detector: follow_up, {}}}\n", fields);
}

constexpr const char* kCart = "after: {type: cart}, expect: {type: purchase}, within: 1h";
constexpr const char* kKeyed =
    "after: {type: cart}, expect: {type: purchase}, within: 1h, correlate: cart_id";

std::string Cart(std::string_view id) {
  return fmt::format(R"("type":"cart","properties":{{"cart_id":"{}"}})", id);
}
std::string Bought(std::string_view id) {
  return fmt::format(R"("type":"purchase","properties":{{"cart_id":"{}"}})", id);
}

// "key line" of what has been sent since.
Lines Keyed(OneCustomer& customer) {
  Lines lines = customer.Take();
  for (size_t i = 0; i < lines.size(); ++i)
    lines[i] = customer.taken[i]["data"].value("key", "-") + " " + lines[i];
  return lines;
}

}  // namespace

TEST_CASE("follow_up: fires at the very end of the time, to the millisecond") {
  OneCustomer customer(RuleText(kCart));
  customer.On(kT, R"("type":"cart")");
  customer.AdvanceTo(kT + Hours(1) - Ms(1));
  CHECK(customer.Take() == Lines{});
  customer.AdvanceTo(kT + Hours(1));
  REQUIRE(customer.Take() == Lines{"2026-03-02T11:00:00Z r firing follow_up_missing"});
  const nlohmann::json data = customer.taken[0]["data"];
  CHECK(data["observed"] ==
        nlohmann::json::parse(
            R"({"after":"cart","after_at":"2026-03-02T10:00:00Z","expected":"purchase"})"));
  CHECK(data["threshold"] == nlohmann::json::parse(R"({"within":"1h"})"));
  customer.On(kT + Hours(3), R"("type":"purchase")");
  REQUIRE(customer.Take() == Lines{"2026-03-02T13:00:00Z r resolved late_follow_up"});
  CHECK(customer.taken[0]["data"]["observed"]["expected_at"] == "2026-03-02T13:00:00Z");
}

TEST_CASE("follow_up: what is expected cancels, up to the last millisecond") {
  for (const auto& [after, fires] : std::map<int64_t, bool>{
           {0, false}, {1, false}, {3'599'999, false}, {3'600'000, true}, {3'600'001, true}}) {
    CAPTURE(after);
    OneCustomer customer(RuleText(kCart));
    customer.On(kT, R"("type":"cart")");
    customer.On(kT + Ms(after), R"("type":"purchase")");
    customer.AdvanceTo(kT + Days(200));
    CHECK((customer.Take().size() == 2) == fires);  // firing, and resolved at once
  }
}

TEST_CASE("follow_up: only events that match count") {
  OneCustomer customer(RuleText(
      "after: {type: ticket, where: {priority: [high, urgent]}}, expect: {type: [answer, call], "
      "where: {by: staff}}, within: 24h"));
  customer.On(kT, R"("type":"ticket","properties":{"priority":"low"})");
  customer.AdvanceTo(kT + Days(2));
  CHECK(customer.Take() == Lines{});
  customer.On(kT + Days(3), R"("type":"ticket","properties":{"priority":"urgent"})");
  customer.On(kT + Days(3), R"("type":"answer","properties":{"by":"robot"})");
  customer.AdvanceTo(kT + Days(4));
  CHECK(customer.Take() == Lines{"2026-03-06T10:00:00Z r firing follow_up_missing"});
  customer.On(kT + Days(4) + Hours(1), R"("type":"call","properties":{"by":"staff"})");
  CHECK(customer.Take() == Lines{"2026-03-06T11:00:00Z r resolved late_follow_up"});
}

TEST_CASE("follow_up: the time runs from the newest beginning, or from the first") {
  OneCustomer newest(RuleText(kCart));
  for (int i = 0; i < 4; ++i) newest.On(kT + Hours(i) / 2, R"("type":"cart")");
  newest.AdvanceTo(kT + Days(1));
  CHECK(newest.Take() == Lines{"2026-03-02T12:30:00Z r firing follow_up_missing"});
  // Back at the cart: it is left a second time, in an episode of its own.
  newest.On(kT + Days(1), R"("type":"cart")");
  CHECK(newest.Take() == Lines{"2026-03-03T10:00:00Z r resolved started_again"});
  newest.AdvanceTo(kT + Days(2));
  CHECK(newest.Take() == Lines{"2026-03-03T11:00:00Z r firing follow_up_missing"});

  OneCustomer first(RuleText(std::string(kCart) + ", restart: false"));
  for (int i = 0; i < 4; ++i) first.On(kT + Hours(i) / 2, R"("type":"cart")");
  first.AdvanceTo(kT + Days(1));
  CHECK(first.Take() == Lines{"2026-03-02T11:00:00Z r firing follow_up_missing"});
  first.On(kT + Days(1), R"("type":"cart")");
  CHECK(first.Take() == Lines{});
  first.On(kT + Days(1), R"("type":"purchase")");
  CHECK(first.Take() == Lines{"2026-03-03T10:00:00Z r resolved late_follow_up"});
  first.On(kT + Days(1) + Hours(1), R"("type":"cart")");
  first.AdvanceTo(kT + Days(2));
  CHECK(first.Take() == Lines{"2026-03-03T12:00:00Z r firing follow_up_missing"});
}

TEST_CASE("follow_up: each key has an episode of its own") {
  OneCustomer customer(RuleText(kKeyed));
  customer.On(kT, Cart("a"));
  customer.On(kT + Ms(1), Cart("b"));
  customer.On(kT + Ms(2), Cart("c"));
  customer.On(kT + Hours(1) / 2, Bought("b"));
  customer.AdvanceTo(kT + Hours(2));
  CHECK(Keyed(customer) == Lines{"a 2026-03-02T11:00:00Z r firing follow_up_missing",
                                 "c 2026-03-02T11:00:00.002Z r firing follow_up_missing"});
  std::set<std::string> episodes;
  for (const nlohmann::json& alert : customer.taken)
    episodes.insert(alert["data"]["episode"].get<std::string>());
  CHECK(episodes.size() == 2);
  customer.On(kT + Hours(3), Bought("c"));
  CHECK(Keyed(customer) == Lines{"c 2026-03-02T13:00:00Z r resolved late_follow_up"});
  customer.On(kT + Hours(4), Bought("a"));
  CHECK(Keyed(customer) == Lines{"a 2026-03-02T14:00:00Z r resolved late_follow_up"});
}

TEST_CASE("follow_up: an event without the key may mean any of them") {
  OneCustomer answered(RuleText(kKeyed));
  answered.On(kT, Cart("a"));
  answered.On(kT, Cart("b"));
  answered.On(kT + Ms(5), R"("type":"purchase")");
  answered.AdvanceTo(kT + Days(1));
  CHECK(answered.Take() == Lines{});

  OneCustomer began(RuleText(kKeyed));
  began.On(kT, R"("type":"cart")");
  began.On(kT + Ms(5), Bought("b"));
  began.AdvanceTo(kT + Days(1));
  CHECK(began.Take() == Lines{});

  OneCustomer neither(RuleText(kKeyed));
  neither.On(kT, R"("type":"cart")");
  neither.AdvanceTo(kT + Days(1));
  CHECK(Keyed(neither) == Lines{"- 2026-03-02T11:00:00Z r firing follow_up_missing"});
}

TEST_CASE("follow_up: what comes in late") {
  struct Row {
    const char* what;
    std::vector<std::pair<int64_t, const char*>> events;  // minutes after kT, in order of arrival
    Lines alerts;                                         // until a day later
  };
  const Row row = GENERATE(values<Row>({
      {"the answer, which was given in time",
       {{0, "cart"}, {90, "login"}, {30, "purchase"}},
       {"2026-03-02T11:00:00Z r firing follow_up_missing",
        "2026-03-02T11:30:00Z r resolved corrected"}},
      {"the answer, which was late in truth too",
       {{0, "cart"}, {90, "login"}, {75, "purchase"}},
       {"2026-03-02T11:00:00Z r firing follow_up_missing",
        "2026-03-02T11:15:00Z r resolved late_follow_up"}},
      {"the answer, given at the very end: too late",
       {{0, "cart"}, {90, "login"}, {60, "purchase"}},
       {"2026-03-02T11:00:00Z r firing follow_up_missing",
        "2026-03-02T11:00:00Z r resolved late_follow_up"}},
      {"the beginning, after its answer", {{30, "purchase"}, {0, "cart"}}, {}},
      {"the beginning, long after its answer", {{30, "purchase"}, {85, "login"}, {0, "cart"}}, {}},
      {"the beginning, after its end",
       {{90, "login"}, {0, "cart"}},
       {"2026-03-02T11:00:00Z r firing follow_up_missing"}},
      {"an older beginning",
       {{30, "cart"}, {0, "cart"}},
       {"2026-03-02T11:30:00Z r firing follow_up_missing"}},
      {"an answer from before the beginning",
       {{30, "cart"}, {15, "purchase"}},
       {"2026-03-02T11:30:00Z r firing follow_up_missing"}},
  }));
  CAPTURE(row.what);
  OneCustomer customer(RuleText(kCart));
  for (const auto& [minute, type] : row.events)
    customer.On(kT + Ms(minute * 60'000), fmt::format(R"("type":"{}")", type));
  customer.AdvanceTo(kT + Days(1));
  CHECK(customer.Take() == row.alerts);
}

TEST_CASE("follow_up: one-timers: the first of an event, and the same again") {
  const std::string rule =
      RuleText("after: {type: purchase, first: true}, expect: {type: purchase}, within: 60d");
  OneCustomer one_timer(rule);
  one_timer.Purchase(kT);
  one_timer.AdvanceTo(kT + Days(60));
  CHECK(one_timer.Take() == Lines{"2026-05-01T10:00:00Z r firing follow_up_missing"});
  one_timer.Purchase(kT + Days(70));
  CHECK(one_timer.Take() == Lines{"2026-05-11T10:00:00Z r resolved late_follow_up"});
  one_timer.AdvanceTo(kT + Days(400));
  CHECK(one_timer.Take() == Lines{});  // now a two-timer: the rule is about the first

  OneCustomer regular(rule);
  regular.Purchase(kT);
  regular.Purchase(kT + Days(59));
  regular.AdvanceTo(kT + Days(400));
  CHECK(regular.Take() == Lines{});
}

TEST_CASE("follow_up: every purchase asks for the next one") {
  OneCustomer customer(RuleText("after: {type: purchase}, expect: {type: purchase}, within: 10d"));
  customer.Purchase(kT);
  customer.Purchase(kT + Days(9));
  customer.Purchase(kT + Days(30));
  customer.AdvanceTo(kT + Days(50));
  CHECK(customer.Take() == Lines{"2026-03-21T10:00:00Z r firing follow_up_missing",
                                 "2026-04-01T10:00:00Z r resolved late_follow_up",
                                 "2026-04-11T10:00:00Z r firing follow_up_missing"});
}

TEST_CASE("follow_up: after so long nobody waits any more") {
  OneCustomer customer(RuleText(std::string(kKeyed) + ", forget_after: 7d"));
  customer.On(kT, Cart("a"));
  customer.AdvanceTo(kT + Days(100));
  CHECK(Keyed(customer) == Lines{"a 2026-03-02T11:00:00Z r firing follow_up_missing",
                                 "a 2026-03-09T11:00:00Z r resolved expired"});
  customer.On(kT + Days(100), Bought("a"));
  customer.On(kT + Days(200), Cart("b"));
  CHECK(customer.Take() == Lines{});
}

TEST_CASE("follow_up: held, and resolved with a hold, for the same reason") {
  OneCustomer customer(RuleText(std::string(kCart) + ", hold: 30m, resolve: {hold: 3h}"));
  customer.On(kT, R"("type":"cart")");
  customer.On(kT + Hours(4), R"("type":"purchase")");
  customer.AdvanceTo(kT + Days(2));
  CHECK(customer.Take() == Lines{"2026-03-02T11:30:00Z r firing follow_up_missing",
                                 "2026-03-02T17:00:00Z r resolved late_follow_up"});
  customer.On(kT + Days(2), R"("type":"cart")");
  customer.On(kT + Days(2) + Hours(1) + Ms(1), R"("type":"purchase")");  // within the hold
  customer.AdvanceTo(kT + Days(4));
  CHECK(customer.Take() == Lines{});
}

TEST_CASE("follow_up: memory is bounded, and goes when nothing is waited for") {
  OneCustomer customer(RuleText(kKeyed));
  for (int i = 0; i < 500; ++i) customer.On(kT + Ms(i), Cart(fmt::format("cart-{}", i)));
  CHECK(customer.state.rules[0].memory.size() < 32 * 24);
  customer.AdvanceTo(kT + Hours(2));
  CHECK(customer.Take().size() == 32);  // the newest
  CHECK(customer.state.rules[0].episodes.size() == 32);
  customer.AdvanceTo(kT + Days(100));
  CHECK(customer.state.rules[0].episodes.empty());
  customer.On(kT + Days(101), R"("type":"purchase")");
  customer.On(kT + Days(102), R"("type":"purchase")");
  CHECK(customer.state.rules[0].memory.size() < 12);
  // A key of any length.
  customer.On(kT + Days(103), Cart(std::string(10'000, 'x')));
  CHECK(customer.state.rules[0].memory.size() < 60);
}

TEST_CASE("follow_up: the same event shown twice changes nothing") {
  const std::string yaml =
      RuleText("after: {type: purchase}, expect: {type: purchase}, within: 10d");
  OneCustomer customer(yaml);
  const RuleSet& rules = *customer.rules;
  std::string memory;
  for (const int day : {0, 3, 30}) {
    const EventTime at = kT + Days(day);
    const Event event = EventOf(rules, at, R"("type":"purchase","amount":1)");
    const Subject subject{.measure_defs = rules.measures,
                          .measures = customer.state.measures,
                          .calendar = rules.calendar,
                          .lifecycle = customer.state.lifecycle,
                          .event = &event,
                          .now = at,
                          .open = {},
                          .memory = &memory};
    std::vector<Verdict> verdicts;
    const EventTime due = rules.rules[0].detector.evaluate(subject, &verdicts);
    const std::string once = memory;
    CHECK(rules.rules[0].detector.evaluate(subject, &verdicts) == due);
    CHECK(memory == once);
  }
}

// Against a plain model: for each beginning its answer and its end, worked out from the whole list.
TEST_CASE("follow_up: many keys in any order of events, against a plain list") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  size_t alerts = 0;
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    OneCustomer customer(RuleText(kKeyed));
    struct Cell {
      EventTime began;
      bool waiting = false;
      bool fired = false;
    };
    std::map<std::string, Cell> cells;
    Lines expected;
    EventTime now = kT;
    const auto line = [](EventTime t, const std::string& key, std::string_view what) {
      return fmt::format("{} {} r {}", key, FormatRfc3339(t), what);
    };
    const auto pass = [&](EventTime t) {
      for (auto& [key, cell] : cells) {
        if (!cell.waiting || cell.fired || cell.began + Hours(1) > t) continue;
        cell.fired = true;
        expected.push_back(line(cell.began + Hours(1), key, "firing follow_up_missing"));
      }
    };
    for (int i = 0; i < 40; ++i) {
      now = now + Ms(pick(1, 3'000'000));
      pass(now);
      const std::string key(1, static_cast<char>('a' + pick(0, 3)));
      Cell& cell = cells[key];
      if (pick(0, 1) == 0) {
        if (cell.fired && cell.waiting)
          expected.push_back(line(now, key, "resolved started_again"));
        cell = {.began = now, .waiting = true};
        customer.On(now, Cart(key));
      } else {
        if (cell.fired && cell.waiting)
          expected.push_back(line(now, key, "resolved late_follow_up"));
        cell.waiting = false;
        customer.On(now, Bought(key));
      }
    }
    now = now + Hours(2);
    pass(now);
    customer.AdvanceTo(now);
    REQUIRE(Difference(Keyed(customer), expected) == Lines{});
    alerts += expected.size();
  }
  CHECK(alerts > 500);
}

TEST_CASE("follow_up: deadlines miss nothing that looking every hour sees") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  size_t alerts = 0;
  for (int round = 0; round < 200; ++round) {
    static constexpr const char* kAfter[] = {"{type: cart}", "{type: [cart, purchase]}",
                                             "{type: purchase}"};
    std::string fields = fmt::format(
        "after: {}, expect: {{type: purchase}}, within: {}h, restart: {}, forget_after: {}h",
        kAfter[pick(0, 2)], pick(1, 10), pick(0, 1) == 0, pick(1, 40));
    if (pick(0, 2) > 0) fields += ", correlate: cart_id";
    if (pick(0, 2) == 0) fields += fmt::format(", hold: {}h", pick(1, 5));
    if (pick(0, 2) == 0) fields += fmt::format(", resolve: {{hold: {}h}}", pick(1, 20));
    if (pick(0, 2) == 0) fields += fmt::format(", cooldown: {}h", pick(1, 40));
    CAPTURE(round, fields);
    const RandomLife life{.looks = Resolution::kHour,
                          .pace = 0.5,
                          .uneven = 1.5,
                          .late_max = 12,
                          .quiet_after = 100,
                          .event = [&](int) {
                            const char id = static_cast<char>('a' + pick(0, 3));
                            const std::string type = pick(0, 1) == 0 ? "cart" : "purchase";
                            return fmt::format(
                                R"("type":"{}","properties":{{{}}})", type,
                                id == 'd' ? "" : fmt::format(R"("cart_id":"{}")", id));
                          }};
    alerts += CompareLookers(RuleText(fields), life, random);
  }
  CHECK(alerts > 500);
}
