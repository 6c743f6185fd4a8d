// When a partition's silence is an outage upstream, and for how long the clock stands still.
#include "shard/traffic.h"

#include "given.h"

using namespace heartbeatd;

namespace {

const EventTime kT = At("2026-03-01");

WallTime Wall(EventTime t) { return WallTime(t.ms()); }

// `n` events, `gap` apart, each handled as it happens; the last one at the returned time.
EventTime Feed(Traffic& traffic, int n, Duration gap, EventTime from = kT) {
  for (int i = 0; i < n; ++i) traffic.OnEvent(from + gap * i, Wall(from + gap * i));
  return from + gap * (n - 1);
}

Traffic Fresh(OutagePolicy policy = {}) { return Traffic(policy, {}, 0, EventTime::Min()); }

}  // namespace

TEST_CASE("traffic: off, the clock is never held") {
  Traffic traffic = Fresh({.after = OutagePolicy::kOff});
  CHECK(traffic.OnDrained(Wall(kT)) == EventTime::Never());
  const EventTime last = Feed(traffic, 2000, Ms(1000));
  CHECK(traffic.OnDrained(Wall(last + Days(365))) == EventTime::Never());
  traffic.OnEvent(last + Days(365), Wall(last + Days(365)));
  CHECK(traffic.OnDrained(Wall(last + Days(365))) == EventTime::Never());
}

TEST_CASE("traffic: auto is off until a thousand events were seen") {
  Traffic traffic = Fresh();
  const EventTime last = Feed(traffic, 999, Ms(1000));
  CHECK(traffic.OnDrained(Wall(last + Days(10))) == EventTime::Never());
  traffic.OnEvent(last + Ms(1000), Wall(last + Ms(1000)));
  CHECK(traffic.OnDrained(Wall(last + Days(10))) != EventTime::Never());
}

TEST_CASE("traffic: auto is thirty times the usual gap, at least a quarter of an hour") {
  struct Row {
    Duration gap;
    Duration after;
  };
  const Row row = GENERATE(values<Row>({{Ms(100), std::chrono::minutes(15)},
                                        {std::chrono::seconds(30), std::chrono::minutes(15)},
                                        {std::chrono::minutes(1), std::chrono::minutes(30)},
                                        {Hours(2), Hours(60)}}));
  CAPTURE(row.gap.count());
  Traffic traffic = Fresh();
  const EventTime last = Feed(traffic, 1500, row.gap);
  CHECK(traffic.OnDrained(Wall(last + row.after)) == EventTime::Never());
  CHECK_FALSE(traffic.IsOutage(Wall(last + row.after)));
  CHECK(traffic.OnDrained(Wall(last + row.after + Ms(1))) == last + row.after);
  CHECK(traffic.IsOutage(Wall(last + row.after + Ms(1))));
  CHECK(traffic.OnDrained(Wall(last + Days(300))) == last + row.after);
}

TEST_CASE("traffic: auto looks at the last thousand events only") {
  Traffic traffic = Fresh();
  EventTime last = Feed(traffic, 3000, Ms(1));
  last = Feed(traffic, 1100, Hours(1), last);
  CHECK(traffic.OnDrained(Wall(last + Hours(30))) == EventTime::Never());
  CHECK(traffic.OnDrained(Wall(last + Hours(31))) == last + Hours(30));
}

TEST_CASE("traffic: a configured time counts from the first event on") {
  Traffic traffic = Fresh({.after = Hours(2)});
  CHECK(traffic.OnDrained(Wall(kT)) == EventTime::Never());  // nothing ever came: nothing to miss
  traffic.OnEvent(kT, Wall(kT));
  CHECK(traffic.OnDrained(Wall(kT + Hours(2))) == EventTime::Never());
  CHECK(traffic.OnDrained(Wall(kT + Hours(3))) == kT + Hours(2));
}

TEST_CASE("traffic: when events are back the clock waits for those that were held back") {
  struct Row {
    std::optional<Duration> grace;
    Duration outage;
    bool held_back;  // the first event to come
    Duration waits;
  };
  const Row row = GENERATE(values<Row>({
      {std::nullopt, std::chrono::minutes(40), false,
       std::chrono::minutes(40)},  // as long as it was
      {std::nullopt, std::chrono::minutes(40), true, std::chrono::minutes(40)},
      {std::nullopt, Hours(9), false, Hours(1)},  // at most an hour
      {std::nullopt, Hours(9), true, Hours(1)},
      {std::chrono::minutes(5), Hours(9), false, std::chrono::minutes(5)},
      {Duration(0), Hours(9), false, Duration(0)},
  }));
  Traffic traffic = Fresh({.after = std::chrono::minutes(30), .grace = row.grace});
  traffic.OnEvent(kT, Wall(kT));
  const EventTime back = kT + row.outage;
  const EventTime resumes = back + row.waits;
  (void)traffic.OnDrained(Wall(back));
  traffic.OnEvent(row.held_back ? kT + Ms(1) : back, Wall(back));
  // From now on there is traffic, and what was held back comes with it: neither changes the moment.
  for (EventTime t = back + Ms(1); t < resumes; t = t + std::chrono::minutes(1)) {
    traffic.OnEvent(t, Wall(t));
    traffic.OnEvent(kT + Ms(1), Wall(t));
    CHECK(traffic.OnDrained(Wall(t + Ms(1))) == t);
    CHECK(traffic.IsOutage(Wall(t + Ms(1))));
  }
  if (row.waits > Duration(0))
    CHECK(traffic.OnDrained(Wall(resumes - Ms(1))) == traffic.last_event());
  CHECK(traffic.OnDrained(Wall(resumes)) == EventTime::Never());
}

TEST_CASE("traffic: catching up is no outage") {
  // A backlog of a day, read within a second, from what is old to what is fresh.
  Traffic traffic = Fresh({.after = std::chrono::minutes(30)});
  const WallTime now = Wall(kT + Days(1));
  for (EventTime at = kT; at < AsEventTime(now); at = at + Ms(80'000)) traffic.OnEvent(at, now);
  CHECK(traffic.OnDrained(now) == EventTime::Never());
  CHECK_FALSE(traffic.IsOutage(now));
  // A gap before the end, over which there was a backlog.
  traffic.OnEvent(kT + Days(2), Wall(kT + Days(2)));
  CHECK(traffic.OnDrained(Wall(kT + Days(2))) == EventTime::Never());
  // One that lasts to the end.
  CHECK(traffic.OnDrained(Wall(kT + Days(3))) == kT + Days(2) + std::chrono::minutes(30));
}

TEST_CASE("traffic: an event from the past does not move the newest back") {
  Traffic traffic = Fresh({.after = Hours(1)});
  traffic.OnEvent(kT, Wall(kT));
  traffic.OnEvent(kT - Hours(5), Wall(kT));
  CHECK(traffic.last_event() == kT);
  CHECK(traffic.OnDrained(Wall(kT + Hours(2))) == kT + Hours(1));
}

TEST_CASE("traffic: what is remembered survives a restart") {
  Traffic traffic = Fresh();
  const EventTime last = Feed(traffic, 2345, std::chrono::minutes(1));
  CHECK(traffic.marks_ms().size() <= 11);
  CHECK(traffic.events() == 2345);
  Traffic again({}, traffic.marks_ms(), traffic.events(), traffic.last_event());
  for (const Duration later : {Hours(0), Hours(1), Hours(50)}) {
    CHECK(again.OnDrained(Wall(last + later)) == traffic.OnDrained(Wall(last + later)));
  }
  // And goes on counting where it was.
  Feed(again, 155, std::chrono::minutes(1), last + Ms(60'000));
  Feed(traffic, 155, std::chrono::minutes(1), last + Ms(60'000));
  CHECK(again.marks_ms() == traffic.marks_ms());
}

TEST_CASE("traffic: events of one moment, or none before, do not divide by zero") {
  Traffic traffic = Fresh();
  for (int i = 0; i < 5000; ++i) traffic.OnEvent(kT, Wall(kT));
  CHECK(traffic.OnDrained(Wall(kT + Hours(1))) == kT + std::chrono::minutes(15));
}
