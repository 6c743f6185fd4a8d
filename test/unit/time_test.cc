#include "base/time.h"

#include <fmt/format.h>

#include <chrono>

#include "base/clock.h"
#include "base/settled_clock.h"
#include "catch.h"

using namespace heartbeatd;
using namespace std::chrono_literals;

TEST_CASE("time: RFC 3339 is read") {
  struct Row {
    const char* text;
    int64_t ms;
  };
  const Row row = GENERATE(values<Row>({
      {"1970-01-01T00:00:00Z", 0},
      {"1970-01-01T00:00:00z", 0},
      {"1970-01-01t00:00:00Z", 0},
      {"1970-01-01 00:00:00Z", 0},
      {"1970-01-01T00:00:00.1Z", 100},
      {"1970-01-01T00:00:00.001Z", 1},
      {"1970-01-01T00:00:00.0019999999999999999999Z", 1},  // cut, not rounded
      {"1969-12-31T23:59:59.999Z", -1},
      {"2026-03-01T09:00:00Z", 1772355600000},
      {"2026-03-01T10:00:00+01:00", 1772355600000},
      {"2026-03-01T03:15:00-05:45", 1772355600000},
      {"2026-03-01T09:00:00-00:00", 1772355600000},
      {"2024-02-29T00:00:00Z", 1709164800000},
      {"2000-02-29T00:00:00Z", 951782400000},
      {"2016-12-31T23:59:60Z", 1483228800000},  // a leap second is the next one
      {"1900-01-01T00:00:00Z", kEventTimeMin.ms()},
      {"3000-01-01T00:00:00Z", kEventTimeMax.ms()},
      {"0000-01-01T00:00:00Z", -62167219200000},
  }));
  CAPTURE(row.text);
  const auto time = ParseRfc3339(row.text);
  REQUIRE(time);
  CHECK(time->ms() == row.ms);
}

TEST_CASE("time: everything else is refused") {
  const char* text = GENERATE(
      "", "Z", "2026-03-01", "2026-03-01T09:00:00", "2026-03-01T09:00Z", "2026-3-1T09:00:00Z",
      "2026-13-01T09:00:00Z", "2026-00-01T09:00:00Z", "2026-02-29T09:00:00Z",
      "1900-02-29T09:00:00Z", "2026-04-31T09:00:00Z", "2026-03-01T24:00:00Z",
      "2026-03-01T09:60:00Z", "2026-03-01T09:00:61Z", "2026-03-01T09:00:00.Z",
      "2026-03-01T09:00:00,5Z", "2026-03-01T09:00:00+0100", "2026-03-01T09:00:00+01",
      "2026-03-01T09:00:00+24:00", "2026-03-01T09:00:00+01:60", "2026-03-01T09:00:00ZZ",
      "2026-03-01T09:00:00Z ", " 2026-03-01T09:00:00Z", "2026/03/01T09:00:00Z",
      "2026-03-01X09:00:00Z", "-026-03-01T09:00:00Z", "2026-03-01T09:00:00.123",
      "2026-03-01T09:00:00.", "2026-03-01T+9:00:00Z", "1772355600000");
  CAPTURE(text);
  CHECK_FALSE(ParseRfc3339(text));
}

TEST_CASE("time: what is printed") {
  CHECK(FormatRfc3339(EventTime(0)) == "1970-01-01T00:00:00Z");
  CHECK(FormatRfc3339(EventTime(1)) == "1970-01-01T00:00:00.001Z");
  CHECK(FormatRfc3339(EventTime(-1)) == "1969-12-31T23:59:59.999Z");
  CHECK(FormatRfc3339(kEventTimeMin) == "1900-01-01T00:00:00Z");
  CHECK(FormatRfc3339(kEventTimeMax) == "3000-01-01T00:00:00Z");
  CHECK(FormatRfc3339(EventTime::Never()) == "never");
}

TEST_CASE("time: format and parse are inverse, in any zone and with any fraction") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any_ms(kEventTimeMin.ms(), kEventTimeMax.ms());
  std::uniform_int_distribution<int> any_offset(-23 * 60 - 59, 23 * 60 + 59);
  for (int i = 0; i < 20'000; ++i) {
    const EventTime time(any_ms(random));
    const std::string text = FormatRfc3339(time);
    const auto back = ParseRfc3339(text);
    if (!back || *back != time) FAIL(text << " is not " << time.ms());

    // The same moment as a clock `offset` minutes ahead of UTC shows it, to the nanosecond.
    const int offset = any_offset(random);
    const std::string local = FormatRfc3339(EventTime(time.ms() + offset * int64_t{60'000}));
    const int64_t ms = ((time.ms() % 1000) + 1000) % 1000;
    const std::string zoned =
        fmt::format("{}.{:03}{:06}{}{:02}:{:02}", local.substr(0, 19), ms, random() % 1'000'000,
                    offset < 0 ? '-' : '+', std::abs(offset) / 60, std::abs(offset) % 60);
    const auto parsed = ParseRfc3339(zoned);
    if (!parsed || *parsed != time) FAIL(zoned << " is not " << text);
  }
}

TEST_CASE("time: every day of 400 years, the calendar's whole cycle") {
  using std::chrono::sys_days;
  const auto first = sys_days(std::chrono::year(2000) / 1 / 1);
  for (int i = 0; i < 146'097; ++i) {
    const std::chrono::year_month_day date(first + std::chrono::days(i));
    const EventTime noon(int64_t{(first + std::chrono::days(i)).time_since_epoch().count()} *
                             kMsPerDay +
                         kMsPerDay / 2);
    const std::string text =
        fmt::format("{:04}-{:02}-{:02}T12:00:00Z", static_cast<int>(date.year()),
                    static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
    if (FormatRfc3339(noon) != text) FAIL(FormatRfc3339(noon) << " instead of " << text);
    if (ParseRfc3339(text) != noon) FAIL(text << " is misread");
  }
}

TEST_CASE("time: instants saturate and keep their ends") {
  constexpr EventTime kNever = EventTime::Never();
  constexpr EventTime kMin = EventTime::Min();
  CHECK(EventTime(5) + Duration(7) == EventTime(12));
  CHECK(EventTime(5) - Duration(7) == EventTime(-2));
  CHECK(EventTime(5) - EventTime(7) == Duration(-2));
  CHECK(kNever + Duration(1) == kNever);
  CHECK(kNever - Duration(1) == kNever);
  CHECK(kMin + Duration(1) == kMin);
  CHECK(kMin - Duration(1) == kMin);
  CHECK(EventTime(kNever.ms() - 1) + Duration(2) == kNever);
  CHECK(EventTime(kMin.ms() + 1) - Duration(2) == kMin);
  CHECK(kNever - kMin == Duration::max());
  CHECK(kMin - kNever == Duration::min());
  CHECK(EventTime(1) < kNever);
  CHECK(kMin < EventTime(std::numeric_limits<int64_t>::min() + 1));
}

TEST_CASE("time: the two clocks do not mix") {
  STATIC_REQUIRE_FALSE(std::is_convertible_v<WallTime, EventTime>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<int64_t, EventTime>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<EventTime, WallTime>);
  CHECK(AsEventTime(WallTime(42)) == EventTime(42));
}

TEST_CASE(
    "clock: a manual clock moves when told, and jumps of wall time leave monotonic time alone") {
  ManualClock clock(WallTime(1000));
  CHECK(clock.Now() == WallTime(1000));
  clock.Advance(Duration(5));
  CHECK(clock.Now() == WallTime(1005));
  CHECK(clock.Monotonic() == Duration(5));
  clock.Jump(Duration(-500));
  CHECK(clock.Now() == WallTime(505));
  CHECK(clock.Monotonic() == Duration(5));
  clock.Advance(Duration(-5));
  CHECK(clock.Now() == WallTime(500));
  CHECK(clock.Monotonic() == Duration(5));
}

TEST_CASE("clock: a jump is believed once it has lasted") {
  struct Row {
    const char* name;
    Duration jump;
    Duration lasts;      // then the clock jumps back
    Duration until;      // of the whole row
    Duration ahead;      // of the time that has passed, in the end
    Duration ahead_max;  // of the later of both clocks, on the way
    int jumps;
  };
  const Duration hour = 60min;
  const Row row = GENERATE_COPY(Row{"none", 0s, 0s, 1min, 0s, 0s, 0},
                                Row{"a correction", 10s, 1min, 1min, 10s, 10s, 0},
                                Row{"a correction back", -10s, 1min, 1min, -10s, 0s, 0},
                                Row{"forth, short", hour, 14min, 20min, 0s, hour, 1},
                                Row{"back, short", -hour, 14min, 20min, 0s, 0s, 1},
                                Row{"forth, in doubt", hour, 20min, 14min, 0s, hour, 1},
                                Row{"forth, for good", hour, 20min, 16min, hour, hour, 1},
                                Row{"back, for good", -hour, 20min, 16min, -hour, 0s, 1});
  INFO(row.name);
  ManualClock system(WallTime(1'700'000'000'000));
  const WallTime began = system.Now();
  int jumps = 0;
  const SettledClock settled(system, [&](Duration by) {
    ++jumps;
    CHECK((jumps > 1 || by == row.jump));
  });
  const LaterClock later(system, settled);
  Duration ahead_max{0};
  WallTime end = began;
  system.Jump(row.jump);
  for (Duration passed{0}; passed < row.until; passed += 1s) {
    if (passed == row.lasts && passed > 0s) system.Jump(-row.jump);
    end = settled.Now();
    ahead_max = std::max(ahead_max, later.Now() - (began + passed));
    system.Advance(1s);
  }
  CHECK(end - (began + row.until - 1s) == row.ahead);
  CHECK(ahead_max == row.ahead_max);
  CHECK(jumps == row.jumps);
}

TEST_CASE("clock: each jump is in doubt for itself") {
  ManualClock system(WallTime(1'700'000'000'000));
  int jumps = 0;
  const SettledClock settled(system, [&](Duration) { ++jumps; });
  // Over and over again, never long enough: together it would be.
  for (int i = 0; i < 10; ++i) {
    system.Jump(1h);
    CHECK(settled.Now() == system.Now() - 1h);
    system.Advance(10min);
    CHECK(settled.Now() == system.Now() - 1h);
    system.Jump(-1h);
    CHECK(settled.Now() == system.Now());
  }
  CHECK(jumps == 10);
  // Another jump on top begins anew.
  system.Jump(1h);
  (void)settled.Now();
  system.Advance(14min);
  system.Jump(1h);
  CHECK(settled.Now() == system.Now() - 2h);
  system.Advance(14min);
  CHECK(settled.Now() == system.Now() - 2h);
  system.Advance(1min);
  CHECK(settled.Now() == system.Now());
  CHECK(jumps == 12);
}

TEST_CASE(
    "clock: the system's is in milliseconds since 1970 and its monotonic time never goes back") {
  const SystemClock clock;
  CHECK(clock.Now() > WallTime(1'700'000'000'000));  // November 2023
  CHECK(AsEventTime(clock.Now()) < kEventTimeMax);
  const Duration before = clock.Monotonic();
  CHECK(clock.Monotonic() >= before);
}
