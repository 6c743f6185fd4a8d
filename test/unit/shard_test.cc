// The loop in which events and time meet.
#include "shard/shard.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "base/id.h"
#include "one_customer.h"
#include "shard_driver.h"

using namespace heartbeatd;

namespace {

// Ten days without a purchase.
const char* const kQuiet = R"(
measures: {m: {type: purchase}}
lifecycle: {at_risk: {after: 3000d}, dormant: {after: 3200d}, lost: {after: 3400d}}
rules: [{id: quiet, detector: silence, measure: m, after: 10d, minimum: {days: 1}}]
)";

const EventTime kT = At("2026-03-01T09:00:00Z");

WallTime Wall(EventTime t) { return WallTime(t.ms()); }

ShardDriver WallDriver(OutagePolicy outage = {.after = OutagePolicy::kOff}) {
  ShardDriver driver({.rules = kQuiet, .time_source = TimeSource::kWall, .outage = outage});
  driver.wall = Wall(kT);
  return driver;
}

}  // namespace

TEST_CASE("shard: deadlines fire before the event of the same millisecond, each at its own time") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(kT, "b");
  driver.Send(kT + Ms(1), "a");
  driver.Send(kT + Days(10), "b");  // b is due at this very moment
  driver.Send(kT + Days(300), "c");
  driver.Settle();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z b quiet firing silent_too_long",
                               "2026-03-11T09:00:00Z b quiet resolved activity_resumed",
                               "2026-03-11T09:00:00.001Z a quiet firing silent_too_long",
                               "2026-03-21T09:00:00Z b quiet firing silent_too_long"});
  CHECK(driver.shard().clock() == kT + Days(300));
}

TEST_CASE("shard: a budget cuts among equal deadlines, and the event waits for the rest") {
  ShardDriver driver({.rules = kQuiet});
  for (const char* customer : {"a", "b", "c"}) driver.Send(kT, customer);
  driver.Send(kT + Days(10), "a");
  driver.Deliver();
  const auto step = [&](size_t units) {
    const Result<size_t> done = driver.shard().Step(units, driver.wall);
    REQUIRE(done);
    return *done;
  };
  CHECK(step(3) == 3);
  CHECK(step(1) == 1);
  CHECK(driver.shard().clock() == kT + Days(10));
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z a quiet firing silent_too_long"});
  // Before the next one fires the entry of the one before is found to be out of date.
  CHECK(step(1) == 1);
  CHECK(step(1) == 1);
  CHECK(step(2) == 2);
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z b quiet firing silent_too_long",
                               "2026-03-11T09:00:00Z c quiet firing silent_too_long"});
  CHECK(step(5) == 2);  // c's entry and the event, and then nothing more
  CHECK(step(5) == 0);
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z a quiet resolved activity_resumed"});
}

TEST_CASE("shard: with time.source event only events move the clock") {
  ShardDriver driver({.rules = kQuiet});
  CHECK(driver.shard().clock() == EventTime::Min());
  driver.Send(kT);
  driver.Settle();
  driver.wall = driver.wall + Days(1000);
  driver.Settle();
  CHECK(driver.shard().clock() == kT);
  driver.Tick(kT + Days(10) - Ms(1));
  driver.Settle();
  CHECK(driver.shard().clock() == kT + Days(10) - Ms(1));
  CHECK(driver.Take() == Lines{});
  driver.Tick(kT + Days(10));
  driver.Tick(kT);  // never back
  driver.Settle();
  CHECK(driver.shard().clock() == kT + Days(10));
  CHECK(driver.Take().size() == 1);
  CHECK(driver.shard().counters().ticks == 3);
  CHECK(driver.shard().customers_known() == 1);
}

TEST_CASE("shard: wall time moves the clock once the partition is drained, less the delay") {
  ShardDriver driver = WallDriver();
  driver.Send(kT);
  driver.Deliver();
  driver.Run();
  driver.wall = driver.wall + Days(5);
  driver.Run();
  CHECK(driver.shard().clock() == kT);  // nobody has said that this is all there is
  driver.Probe();
  driver.wall = driver.wall + Days(5);  // the answer counts as of when it was asked for
  driver.Run();
  CHECK(driver.shard().clock() == kT + Days(5) - std::chrono::seconds(10));
  driver.Probe();
  driver.Run();
  CHECK(driver.shard().clock() == kT + Days(10) - std::chrono::seconds(10));
  driver.Commit();
  CHECK(driver.Take() == Lines{});
  driver.wall = driver.wall + std::chrono::seconds(10);
  driver.Probe();
  driver.Run();
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z c42 quiet firing silent_too_long"});
}

TEST_CASE("shard: a backlog holds the clock, and no answer holds it too") {
  ShardDriver driver = WallDriver();
  driver.Send(kT);
  driver.Settle();
  driver.wall = driver.wall + Days(20);
  driver.Send(kT + Days(9));  // is there, but has not arrived
  driver.Probe();
  driver.Run();
  CHECK(driver.shard().clock() < kT + Hours(1));
  driver.Deliver();
  driver.Run();
  CHECK(driver.shard().clock() ==
        kT + Days(9));  // the older answer knows nothing of what comes after it
  driver.Commit();
  CHECK(driver.Take() == Lines{});  // no false silence
  driver.Probe();
  driver.Run();
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-20T09:00:00Z c42 quiet firing silent_too_long"});
}

TEST_CASE("shard: a wall clock that jumps back does not move the shard's clock") {
  ShardDriver driver = WallDriver();
  driver.Send(kT);
  driver.Settle();
  driver.wall = driver.wall + Days(3);
  driver.Settle();
  const EventTime before = driver.shard().clock();
  driver.wall = driver.wall + Days(-2);
  driver.Settle();
  CHECK(driver.shard().clock() == before);
}

TEST_CASE("shard: late_by counts from the alert's time to when the daemon noticed") {
  ShardDriver driver = WallDriver();
  driver.wall = Wall(kT + Days(30));
  driver.Send(kT);
  driver.Send(kT + Days(12));  // history: the alert of day 10 is noticed on day 30
  driver.Deliver();
  driver.Run();
  REQUIRE(driver.shard().outbox().alerts.size() == 2);
  CHECK(nlohmann::json::parse(driver.shard().outbox().alerts[0].payload)["data"]["late_by"] ==
        "20d");
  CHECK(nlohmann::json::parse(driver.shard().outbox().alerts[1].payload)["data"]["late_by"] ==
        "18d");
}

TEST_CASE("shard: an outage upstream raises no false silence") {
  ShardDriver driver = WallDriver({.after = Hours(6)});
  driver.Send(kT);
  driver.Settle();
  // Nothing for eleven days.
  for (int hour = 0; hour < 11 * 24; ++hour) {
    driver.wall = driver.wall + Hours(1);
    driver.Settle();
  }
  CHECK(driver.shard().clock() == kT + Hours(6));
  CHECK(driver.shard().IsOutage(driver.wall));
  CHECK(driver.Take() == Lines{});
  // Traffic returns: for an hour only events move the clock, so that what was held back may come.
  const EventTime back = kT + Days(11);
  driver.Send(back, "other");
  driver.Settle();
  CHECK(driver.shard().clock() == back);
  driver.wall = driver.wall + std::chrono::minutes(30);
  driver.Settle();
  CHECK(driver.shard().clock() == back);
  driver.Send(kT + Days(5), "late");
  driver.Settle();
  CHECK(driver.shard().clock() == back);
  driver.wall = driver.wall + std::chrono::minutes(31);
  driver.Settle();
  CHECK(driver.shard().clock() > back);
  CHECK_FALSE(driver.shard().IsOutage(driver.wall));
}

TEST_CASE("shard: due times inside an outage are judged when the clock goes on") {
  ShardDriver driver = WallDriver({.after = Hours(6)});
  driver.wall = Wall(kT + Hours(3));
  driver.Send(kT);
  driver.Send(kT + Hours(3), "other");
  driver.Settle();
  const EventTime back = kT + Days(12);
  driver.wall = Wall(back);
  driver.Settle();
  CHECK(driver.Take() == Lines{});
  driver.Send(back, "third");
  driver.Settle();
  // The event itself moves the clock over what was due.
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z c42 quiet firing silent_too_long",
                               "2026-03-11T12:00:00Z other quiet firing silent_too_long"});
}

TEST_CASE("shard: timestamps from the future") {
  ShardDriver driver = WallDriver();
  driver.wall = Wall(kT);
  driver.Send(kT);
  driver.Send(kT + std::chrono::minutes(5) + Ms(1));
  driver.Send(kT + std::chrono::minutes(5));
  driver.Settle();
  CHECK(driver.dead_letters == Lines{"future_timestamp@1"});
  CHECK(driver.shard().clock() == kT + std::chrono::minutes(5));
  CHECK(driver.shard().counters().applied == 2);
  // A tick from the future is refused like any other.
  driver.Tick(kT + Days(1));
  driver.Settle();
  CHECK(driver.dead_letters.size() == 2);
}

TEST_CASE("shard: refused messages go to the dead letters by their reason and move the position") {
  ShardDriver driver({.rules = std::string("currency: EUR\n") + kQuiet});
  driver.Send(0, "not json");
  driver.Send(0, R"({"event_id":"x","type":"purchase","customer_id":"c"})");
  driver.Send(0, JsonOf("c", "y", kT, R"("type":"purchase","amount":1,"currency":"USD")"));
  driver.Send(kT);
  driver.Settle();
  CHECK(driver.dead_letters == Lines{"not_json@0", "bad_timestamp@1", "other_currency@2"});
  CHECK(driver.shard().counters().dead_letters == 3);
  CHECK(driver.shard().counters().applied == 1);
  CHECK(driver.shard().Meta().next.at("events") == 4);
}

TEST_CASE("shard: a message marked as poison is not applied") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(kT);
  driver.Send(kT + Days(1), "poisoned");
  driver.Send(kT + Days(2));
  driver.shard().MarkPoison(0, 1);
  driver.Settle();
  CHECK(driver.dead_letters == Lines{"poison@1"});
  CHECK(driver.shard().customers_known() == 1);
}

TEST_CASE("shard: repeated events change nothing") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(kT);
  driver.Send(0, JsonOf("c42", "twice", kT + Days(1), R"("type":"purchase")"));
  driver.Send(0, JsonOf("c42", "twice", kT + Days(2), R"("type":"purchase")"));
  driver.Settle();
  driver.AdvanceTo(kT + Days(11));
  driver.Commit();
  CHECK(driver.Take() ==
        Lines{"2026-03-12T09:00:00Z c42 quiet firing silent_too_long"});  // ten days after the
                                                                          // first of the two
  CHECK(driver.shard().counters().duplicates == 1);
  CHECK(driver.shard().clock() == kT + Days(11));
}

TEST_CASE("shard: an erased customer is forgotten, deadlines and all") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(kT);
  driver.Send(kT, "other");
  driver.Settle();
  REQUIRE(driver.Save());
  driver.Send(kT + Days(1), "c42", R"("type":"erase")");
  driver.Send(kT + Days(1), "unknown", R"("type":"erase")");
  driver.Deliver();
  driver.Run();
  CHECK(driver.shard().customers_known() == 1);
  REQUIRE(driver.shard().customers().uncommitted() == 1);
  CHECK_FALSE(driver.shard().customers().Uncommitted(0)->value);  // a tombstone
  driver.Commit();
  SECTION("saved") { REQUIRE(driver.Save()); }
  SECTION("saved and read again") {
    REQUIRE(driver.Save());
    driver.Crash();
  }
  SECTION("not saved yet") {}
  driver.AdvanceTo(kT + Days(100));
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z other quiet firing silent_too_long"});
  // Whoever comes back is a new customer, and old ids are unknown.
  driver.Send(0, JsonOf("c42", "e1", kT + Days(101), R"("type":"purchase")"));
  driver.Settle();
  CHECK(driver.shard().customers_known() == 2);
  CHECK(driver.shard().counters().duplicates == 0);
  driver.AdvanceTo(kT + Days(111));
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-06-20T09:00:00Z c42 quiet firing silent_too_long"});
}

TEST_CASE("shard: a message whose key is not its customer is counted and applied") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(0, JsonOf("a", "1", kT, R"("type":"purchase")"), "a");
  driver.Send(0, JsonOf("a", "2", kT, R"("type":"purchase")"), "b");
  driver.Settle();
  CHECK(driver.shard().counters().mismatched_keys == 1);
  CHECK(driver.shard().counters().applied == 2);
}

TEST_CASE("shard: a state that would grow too large refuses the event and stays as it was") {
  // Every minute of 69 days: more than 64 KiB of buckets.
  ShardDriver driver({.rules = R"(
measures: {m: {type: purchase, sum: amount, resolution: 1m}}
rules: [{id: r, detector: dropping, measure: m, window: 50000m, baseline: {periods: 1}, ratio: 0.5}]
)"});
  EventTime t = kT;
  while (driver.dead_letters.empty()) {
    for (int i = 0; i < 500; ++i)
      driver.Send(t = t + Ms(60'000), "big", R"("type":"purchase","amount":12345.67)");
    driver.Send(t, "small");
    driver.Settle();
    REQUIRE(t < kT + Days(60));
  }
  CHECK(driver.dead_letters[0].starts_with("state_too_large@"));
  Result<Customer*> big = driver.shard().customers().Find("big");
  REQUIRE(big);
  const std::string_view encoded = *driver.shard().customers().Encode(*big);
  CHECK(encoded.size() <= kStateBytesMax);
  CHECK(encoded.size() > kStateBytesMax - 100);
  const std::string before(encoded);
  const size_t refused = driver.dead_letters.size();
  driver.Send(t = t + Ms(60'000), "big", R"("type":"purchase","amount":12345.67)");
  driver.Send(t, "small");
  driver.Settle();
  CHECK(driver.dead_letters.size() == refused + 1);
  CHECK(*driver.shard().customers().Encode(*big) == before);
  CHECK(driver.shard().clock() == t);
  // Once the old buckets have left the window there is room again.
  driver.Send(t = t + Days(70), "big");
  driver.Settle();
  CHECK(driver.dead_letters.size() == refused + 1);
}

TEST_CASE(
    "shard: an event that makes every bucket longer is refused if the state grows too large") {
  ShardDriver driver({.rules = R"(
measures: {m: {type: purchase, sum: amount, resolution: 1m}}
rules: [{id: r, detector: dropping, measure: m, window: 50000m, baseline: {periods: 1}, ratio: 0.5}]
)"});
  EventTime t = kT;
  for (int i = 0; i < 15'000; ++i) {
    driver.Send(t = t + Ms(60'000), "big", R"("type":"purchase","amount":0.05)");
    if (i % 500 == 499) driver.Settle();
  }
  Result<Customer*> big = driver.shard().customers().Find("big");
  REQUIRE(big);
  const std::string before(*driver.shard().customers().Encode(*big));
  REQUIRE(before.size() < kStateBytesMax / 2);
  REQUIRE(driver.dead_letters.empty());
  // No whole hundredths any more, and two events in one minute.
  driver.Send(t, "big", R"("type":"purchase","amount":0.001)");
  driver.Settle();
  REQUIRE(driver.dead_letters.size() == 1);
  CHECK(driver.dead_letters[0].starts_with("state_too_large@"));
  CHECK(*driver.shard().customers().Encode(*big) == before);
}

TEST_CASE("shard: two topics merge by time, and a topic that is not drained is waited for") {
  ShardDriver driver({.rules = kQuiet, .topics = {"orders", "logins"}});
  driver.Send(kT, "a", R"("type":"purchase")", 0);
  driver.Send(kT + Days(30), "a", R"("type":"purchase")", 0);
  driver.Send(kT + Days(5), "a", R"("type":"login")", 1);
  driver.Send(kT + Days(8), "a", R"("type":"purchase")", 1);
  driver.Deliver(0);
  driver.Run();
  CHECK(driver.shard().clock() == EventTime::Min());
  driver.Deliver(1, 1);
  driver.Run();
  CHECK(driver.shard().clock() == kT + Days(5));
  driver.Settle();
  // The purchase of day 8 was in time, so the silence began on day 18.
  CHECK(driver.Take() == Lines{"2026-03-19T09:00:00Z a quiet firing silent_too_long",
                               "2026-03-31T09:00:00Z a quiet resolved activity_resumed"});
  CHECK(driver.shard().counters().late == 0);
  const ShardMeta meta = driver.shard().Meta();
  CHECK(meta.next.at("orders") == 2);
  CHECK(meta.next.at("logins") == 2);
}

TEST_CASE("shard: new rules are judged on what is known, in as many steps as it takes") {
  ShardDriver driver({.rules = kQuiet});
  for (int i = 0; i < 50; ++i) driver.Send(kT, fmt::format("c{:02}", i));
  driver.Tick(kT + Days(7));
  driver.Settle();
  REQUIRE(driver.Save());
  CHECK(driver.Take() == Lines{});
  std::string sooner = kQuiet;
  sooner.replace(sooner.find("10d"), 3, "5d");
  driver.ChangeRules(sooner);
  // A message that is waiting comes after the sweep.
  driver.Send(kT + Days(7), "c00");
  driver.Deliver();
  for (int step = 0; step < 5; ++step) {
    const Result<size_t> done = driver.shard().Step(9, driver.wall);
    REQUIRE(done);
    CHECK(*done == 9);
    driver.Commit();
    CHECK(driver.Take().size() == 9);
    if (step == 2) {
      REQUIRE(driver.Save());
      driver.Crash();  // in the midst of it: the rest is done, nobody is told twice
      driver.Deliver();
      const Result<size_t> again = driver.shard().Step(27, driver.wall);
      REQUIRE(again);
      CHECK(*again == 27);
      driver.Commit();
      CHECK(driver.Take() == Lines{});
      REQUIRE(driver.Save());
    }
  }
  driver.Settle();
  const Lines rest = driver.Take();
  CHECK(rest.size() == 6);  // the last five, and the return of the first
  CHECK(rest.back() == "2026-03-08T09:00:00Z c00 quiet resolved activity_resumed");
  CHECK_FALSE(driver.shard().HasChanges());
  REQUIRE(driver.Save());
  driver.Crash();
  CHECK(driver.shard().Meta().rules_hash == RulesOf(sooner)->hash);
  driver.Settle();
  CHECK(driver.Take() == Lines{});
}

TEST_CASE("shard: the first rule that watches the activity hears its newest change, then all") {
  const std::string life =
      "lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 40d}}\n";
  ShardDriver driver({.rules = life});
  driver.Send(kT);
  driver.Settle();
  CHECK(driver.shard().customers().timers_in_memory() == 0);
  driver.AdvanceTo(kT + Days(25));
  driver.Commit();
  REQUIRE(driver.Save());
  const std::string watching = "rules: [{id: life, detector: transition, of: activity}]\n";
  driver.ChangeRules(life + watching);
  driver.Settle();
  CHECK(driver.Take() == Lines{"2026-03-21T09:00:00Z c42 life firing activity_changed"});
  REQUIRE(driver.Save());
  // It was watched by then: what other thresholds make of it is news, step by step.
  driver.ChangeRules(
      "lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 22d}}\n" + watching);
  driver.Settle();
  CHECK(driver.Take() == Lines{"2026-03-23T09:00:00Z c42 life firing activity_changed"});
}

TEST_CASE("shard: a record that does not say whether the activity was watched is put right") {
  const std::string life =
      "lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 40d}}\n";
  const auto rules = RulesOf(life);
  const ShardMeta old{.clock = kT, .rules_hash = rules->hash};
  const Shard shard({.topics = {"events"}, .rules = rules}, MakeMemoryStore(), old);
  CHECK(shard.Meta().activity_as_of_touch);
}

TEST_CASE("shard: rules that come back in the midst of a sweep are swept again") {
  const std::string life =
      "lifecycle: {at_risk: {after: 10d}, dormant: {after: 20d}, lost: {after: 40d}}\n";
  const std::string watching = life + "rules: [{id: life, detector: transition, of: activity}]\n";
  ShardDriver driver({.rules = watching});
  driver.Send(kT, "a");
  driver.Send(kT, "b");
  driver.Settle();
  REQUIRE(driver.Save());
  driver.ChangeRules(life);
  const Result<size_t> done = driver.shard().Step(1, driver.wall);
  REQUIRE(done);
  REQUIRE(*done == 1);
  driver.Commit();
  REQUIRE(driver.Save());
  driver.ChangeRules(watching);
  driver.Settle();
  driver.AdvanceTo(kT + Days(15));
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-11T09:00:00Z a life firing activity_changed",
                               "2026-03-11T09:00:00Z b life firing activity_changed"});
}

TEST_CASE("shard: a removed rule's deadlines go with it") {
  ShardDriver driver({.rules = kQuiet});
  driver.Send(kT);
  driver.Settle();
  REQUIRE(driver.Save());
  std::string none = kQuiet;
  none.resize(none.find("rules:"));
  driver.ChangeRules(none);
  driver.Settle();
  driver.AdvanceTo(kT + Days(100));
  driver.Commit();
  CHECK(driver.Take() == Lines{});
}

TEST_CASE("shard: a store that cannot be read stops the step, and nothing is applied halfway") {
  ShardDriver driver({.rules = kQuiet, .cache_bytes_max = 0});
  driver.Send(kT);
  driver.Settle();
  REQUIRE(driver.Save());  // and out of memory
  driver.Send(kT + Days(1));
  driver.Deliver();
  driver.store().fail_reads = 1;
  CHECK_FALSE(driver.shard().Step(10, driver.wall));
  CHECK(driver.shard().customers().uncommitted() == 0);
  CHECK(driver.shard().Meta().next.at("events") == 1);
  driver.Run();
  driver.Commit();
  driver.AdvanceTo(kT + Days(11));
  driver.Commit();
  CHECK(driver.Take() == Lines{"2026-03-12T09:00:00Z c42 quiet firing silent_too_long"});
}

TEST_CASE("shard: what there is to commit") {
  ShardDriver driver({.rules = kQuiet});
  Shard& shard = driver.shard();
  CHECK_FALSE(shard.HasChanges());
  CHECK_FALSE(shard.HasMoved());
  shard.MarkNew();
  CHECK(shard.HasChanges());
  driver.Commit();
  CHECK_FALSE(shard.HasChanges());
  driver.Tick(kT);
  driver.Deliver();
  driver.Run();
  CHECK_FALSE(shard.HasChanges());  // a tick alone makes no transaction
  CHECK(shard.HasMoved());
  driver.Commit();
  CHECK_FALSE(shard.HasMoved());
  driver.Send(kT);
  driver.Deliver();
  driver.Run();
  CHECK(shard.HasChanges());
  driver.Commit();
  driver.AdvanceTo(kT + Days(1));
  CHECK_FALSE(shard.HasChanges());  // only the clock has moved
  driver.AdvanceTo(kT + Days(10));
  CHECK(shard.HasChanges());
  CHECK(shard.OutboxBytes() > 100);
}

namespace {

// All detectors, with policies that remember things.
const char* const kEverything = R"(
time: {zone: Europe/Berlin}
measures:
  purchases: {type: purchase, sum: amount, distinct: item, population_gap: 6d}
  app: {type: [login, session], where: {channel: app}, population_gap: 2d, resolution: 1h}
lifecycle: {population_gap: 5d}
rules:
  - {id: drop, detector: dropping, measure: purchases, window: 4d, ratio: 0.5, minimum: {baseline_count: 4}, cooldown: 10d}
  - {id: money, detector: dropping, measure: purchases, value: sum, window: 3d, baseline: {periods: 2, compare: median}, ratio: 0.6, resolve: {ratio: 0.9, hold: 20h}, minimum: {baseline_count: 3}}
  - {id: hourly, detector: dropping, measure: app, window: 12h, p_value: 0.2, hold: 5h, minimum: {baseline_count: 3}}
  - {id: quiet, detector: silence, measure: purchases, false_alerts: 0.2, minimum: {days: 3}, hold: 12h}
  - {id: gone, detector: silence, measure: app, after: 60h, minimum: {days: 1}, cooldown: 6d, reentry: every}
  - {id: life, detector: transition, of: activity}
  - {id: once, detector: transition, of: activity, to: [at_risk, active], reentry: once, hold: 1d}
)";

struct Message {
  EventTime at;
  std::string customer;
  std::string payload;
};

// A stretch of life of a few dozen customers, sorted by time, with repeats, refunds, rubbish and
// erasures.
std::vector<Message> RandomMessages(std::mt19937_64& random, int customers, int events) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  std::vector<Message> out;
  for (int c = 0; c < customers; ++c) {
    const std::string customer = fmt::format("customer-{}", c);
    EventTime t = kT + Hours(pick(0, 200));
    double pace_hours = std::exp(std::uniform_real_distribution<double>(1, 5)(random));
    const int n = pick(1, 2 * events / customers);
    for (int i = 0; i < n; ++i) {
      if (pick(0, 9) == 0)
        pace_hours = std::exp(std::uniform_real_distribution<double>(0, 6)(random));
      const double gap_hours = std::exponential_distribution<double>(1 / pace_hours)(random);
      // Often on whole hours, so that deadlines and events meet.
      t = t + (pick(0, 1) == 0 ? Ms(static_cast<int64_t>(gap_hours * 3.6e6))
                               : Hours(static_cast<int64_t>(gap_hours)));
      const int kind = pick(0, 99);
      const char* type = kind < 55   ? "purchase"
                         : kind < 75 ? "login"
                         : kind < 88 ? "session"
                         : kind < 94 ? "refund"
                         : kind < 97 ? "support"
                         : kind < 99 ? "review"
                                     : "erase";
      std::string payload =
          JsonOf(customer, fmt::format("{}-{}", c, i), t,
                 fmt::format(R"("type":"{}","amount":{},"properties":{{"item":{},"channel":"{}"}})",
                             type, pick(0, 40), pick(0, 5), pick(0, 3) > 0 ? "app" : "web"));
      if (pick(0, 30) == 0) out.push_back({t, customer, "{\"rubbish\":"});
      if (pick(0, 15) == 0) out.push_back({t, customer, payload});  // sent twice
      out.push_back({t, customer, std::move(payload)});
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Message& a, const Message& b) { return a.at < b.at; });
  return out;
}

struct Outcome {
  std::vector<std::string> alerts;
  std::vector<std::string> lines;
  size_t dead_letters = 0;
  uint64_t customers = 0;
};

void Sort(Outcome& outcome) {
  std::sort(outcome.alerts.begin(), outcome.alerts.end());
  std::sort(outcome.lines.begin(), outcome.lines.end());
}

// One shard, one go, everything in memory.
Outcome Straight(const std::vector<Message>& messages, EventTime end) {
  ShardDriver driver({.rules = kEverything});
  for (const Message& message : messages) driver.Send(0, message.payload);
  driver.Tick(end);
  driver.Settle();
  Outcome out{driver.alerts, driver.lines, driver.dead_letters.size(),
              driver.shard().customers_known()};
  Sort(out);
  return out;
}

// The same through `shards` shards, with commits, saves, crashes and failing reads wherever chance
// puts them.
Outcome Troubled(const std::vector<Message>& messages, EventTime end, size_t shards,
                 std::mt19937_64& random) {
  Outcome out;
  std::vector<std::unique_ptr<ShardDriver>> drivers;
  for (size_t i = 0; i < shards; ++i) {
    drivers.push_back(std::make_unique<ShardDriver>(ShardDriver::Setup{
        .rules = kEverything, .cache_bytes_max = random() % 2 == 0 ? 0 : 1u << 20}));
  }
  for (const Message& message : messages)
    drivers[Hash64(message.customer) % shards]->Send(0, message.payload);
  for (auto& driver : drivers) {
    driver->Tick(end);
    while (!driver->AllArrived() || driver->shard().clock() < end) {
      const size_t what = random() % 100;
      if (what < 30) driver->Deliver(0, 1 + random() % 40);
      if (what < 70) {
        if (random() % 20 == 0) driver->store().fail_reads = 1;
        (void)driver->shard().Step(1 + random() % (random() % 4 == 0 ? 3 : 200), driver->wall);
      } else if (what < 85) {
        driver->Commit();
      } else if (what < 97) {
        driver->Commit();
        if (random() % 8 == 0) driver->store().fail_writes = 1;
        (void)driver->Save();
      } else {
        driver->Crash();
      }
    }
    driver->store().fail_reads = 0;
    driver->Settle();
    out.alerts.insert(out.alerts.end(), driver->alerts.begin(), driver->alerts.end());
    out.lines.insert(out.lines.end(), driver->lines.begin(), driver->lines.end());
    out.dead_letters += driver->dead_letters.size();
    out.customers += driver->shard().customers_known();
  }
  Sort(out);
  return out;
}

}  // namespace

TEST_CASE(
    "shard: the same events give the same alerts, however they are split, cut, saved and "
    "repeated") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  size_t alerts = 0;
  for (int round = 0; round < 12; ++round) {
    CAPTURE(round);
    const std::vector<Message> messages = RandomMessages(random, 25, 900);
    const EventTime end = messages.back().at + Days(40);
    const Outcome expected = Straight(messages, end);
    alerts += expected.alerts.size();
    for (size_t shards = 1; shards <= 4; ++shards) {
      CAPTURE(shards);
      const Outcome actual = Troubled(messages, end, shards, random);
      REQUIRE(Difference(expected.lines, actual.lines) == Lines{});
      REQUIRE(Difference(expected.alerts, actual.alerts) == Lines{});
      CHECK(actual.dead_letters == expected.dead_letters);
      CHECK(actual.customers == expected.customers);
    }
  }
  CHECK(alerts > 2000);
}

TEST_CASE("shard: one topic or three, the alerts are the same") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 10; ++round) {
    CAPTURE(round);
    std::vector<Message> messages = RandomMessages(random, 12, 300);
    // Rubbish has no time and goes at once, wherever it stands: it would not be in order.
    std::erase_if(messages,
                  [](const Message& message) { return message.payload.starts_with("{\"rubbish"); });
    // A repeat may overtake its original in another topic, at the same moment: that is no
    // difference.
    std::vector<size_t> topic_of;
    for (const Message& message : messages) topic_of.push_back(Hash64(message.payload) % 3);
    // Equal times: the first topic goes first.
    std::vector<size_t> order(messages.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return std::pair(messages[a].at, topic_of[a]) < std::pair(messages[b].at, topic_of[b]);
    });
    std::vector<Message> one;
    for (const size_t i : order) one.push_back(messages[i]);
    const EventTime end = messages.back().at + Days(40);
    const Outcome expected = Straight(one, end);

    ShardDriver driver({.rules = kEverything, .topics = {"a", "b", "c"}});
    for (size_t i = 0; i < messages.size(); ++i) driver.Send(topic_of[i], messages[i].payload);
    for (size_t topic = 0; topic < 3; ++topic) driver.Tick(end, topic);
    while (!driver.AllArrived(0) || !driver.AllArrived(1) || !driver.AllArrived(2)) {
      driver.wall = driver.wall + Ms(1);
      driver.Deliver(random() % 3, random() % 5);
      if (random() % 4 == 0) driver.Probe();
      if (random() % 2 == 0) (void)driver.shard().Step(1 + random() % 50, driver.wall);
      if (random() % 10 == 0) driver.Commit();
    }
    driver.wall = driver.wall + Ms(1);
    driver.Settle();
    CHECK(driver.shard().counters().late == 0);
    REQUIRE(Difference(expected.lines, driver.lines) == Lines{});
    REQUIRE(Difference(expected.alerts, driver.alerts) == Lines{});
  }
}

TEST_CASE("shard: by the wall or by a tick, the alerts are the same") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    const std::vector<Message> messages = RandomMessages(random, 12, 300);
    const EventTime end = messages.back().at + Days(40);
    const Outcome expected = Straight(messages, end);
    // Live: each message arrives when it happens, and the clock moves in between.
    ShardDriver driver({.rules = kEverything, .time_source = TimeSource::kWall});
    driver.wall = Wall(kT - Days(1));
    for (const Message& message : messages) {
      while (driver.wall < Wall(message.at)) {
        driver.wall = std::min(Wall(message.at),
                               driver.wall + Ms(static_cast<int64_t>(random() % 40'000'000)));
        driver.Settle();
      }
      driver.Send(0, message.payload);
      if (random() % 3 == 0) driver.Settle();
    }
    driver.wall = Wall(end) + std::chrono::seconds(10);
    driver.Settle();
    CHECK(driver.shard().clock() == end);
    std::sort(driver.lines.begin(), driver.lines.end());
    std::sort(driver.alerts.begin(), driver.alerts.end());
    REQUIRE(Difference(expected.lines, driver.lines) == Lines{});
    REQUIRE(Difference(expected.alerts, driver.alerts) == Lines{});
  }
}
