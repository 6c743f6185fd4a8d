#include "base/calendar.h"

#include <chrono>
#include <string>

#include "catch.h"

using namespace heartbeatd;

namespace {

EventTime At(const std::string& text) {
  const auto time = ParseRfc3339(text);
  REQUIRE(time);
  return *time;
}

// "2026-03-29" as a day number.
int32_t Day(const std::string& date) {
  return static_cast<int32_t>(At(date + "T00:00:00Z").ms() / kMsPerDay);
}

Calendar In(const std::string& zone) {
  auto calendar = Calendar::Make(zone);
  REQUIRE(calendar);
  return *calendar;
}

}  // namespace

TEST_CASE("calendar: UTC, also before 1970") {
  const Calendar utc;
  CHECK(utc.DayOf(EventTime(0)) == 0);
  CHECK(utc.DayOf(EventTime(kMsPerDay - 1)) == 0);
  CHECK(utc.DayOf(EventTime(kMsPerDay)) == 1);
  CHECK(utc.DayOf(EventTime(-1)) == -1);
  CHECK(utc.DayOf(EventTime(-kMsPerDay)) == -1);
  CHECK(utc.DayOf(EventTime(-kMsPerDay - 1)) == -2);
  CHECK(utc.DayOf(kEventTimeMin) == -25567);
  CHECK(utc.DayStart(-1) == EventTime(-kMsPerDay));
  CHECK(In("UTC").DayOf(EventTime(-1)) == -1);
}

TEST_CASE("calendar: an unknown zone says what to write") {
  const std::string zone = GENERATE("", "Europe/Berlim", "../etc/passwd", "europe/berlin", "UTC ");
  const auto calendar = Calendar::Make(zone);
  REQUIRE_FALSE(calendar);
  CHECK(calendar.error().message.find("'" + zone + "'") != std::string::npos);
  CHECK(calendar.error().message.find("Europe/Berlin") != std::string::npos);
}

TEST_CASE("calendar: days at changes of the clock") {
  struct Row {
    const char* zone;
    const char* date;
    const char* start;
    int hours;
  };
  const Row row = GENERATE(values<Row>({
      {"Europe/Berlin", "2026-03-28", "2026-03-27T23:00:00Z", 24},
      {"Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23},
      {"Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z", 24},
      {"Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25},
      {"Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z", 24},
      // Clocks go from 24:00 to 01:00: this day has no midnight and begins at one o'clock.
      {"America/Santiago", "2025-09-06", "2025-09-06T04:00:00Z", 24},
      {"America/Santiago", "2025-09-07", "2025-09-07T04:00:00Z", 23},
      {"America/Santiago", "2025-09-08", "2025-09-08T03:00:00Z", 24},
      // And back from 24:00 to 23:00: the old day goes on.
      {"America/Santiago", "2025-04-05", "2025-04-05T03:00:00Z", 25},
      {"America/Santiago", "2025-04-06", "2025-04-06T04:00:00Z", 24},
      // Back from 01:00 to 00:00: two midnights, the first one counts.
      {"America/Havana", "2024-11-03", "2024-11-03T04:00:00Z", 25},
      // Back from 00:01 to 23:01, a minute into the new day, which goes on.
      {"America/St_Johns", "1987-10-25", "1987-10-25T02:30:00Z", 25},
      // A day that was left out at the date line.
      {"Pacific/Apia", "2011-12-29", "2011-12-29T10:00:00Z", 24},
      {"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0},
      {"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z", 24},
      {"Asia/Kolkata", "2026-03-01", "2026-02-28T18:30:00Z", 24},
  }));
  CAPTURE(row.zone, row.date);
  const Calendar calendar = In(row.zone);
  const int32_t day = Day(row.date);
  CHECK(FormatRfc3339(calendar.DayStart(day)) == row.start);
  CHECK(calendar.DayStart(day + 1) - calendar.DayStart(day) == std::chrono::hours(row.hours));
  if (row.hours == 0) return;
  CHECK(calendar.DayOf(calendar.DayStart(day)) == day);
  CHECK(calendar.DayOf(calendar.DayStart(day + 1) - Duration(1)) == day);
}

TEST_CASE("calendar: a day number never goes back while time goes on") {
  const std::string zone =
      GENERATE("Europe/Berlin", "America/Santiago", "America/St_Johns", "America/Moncton",
               "Pacific/Apia", "Pacific/Kwajalein", "America/Havana", "Africa/Cairo");
  CAPTURE(zone);
  const Calendar calendar = In(zone);
  const EventTime end = At("2015-01-01T00:00:00Z");
  EventTime t = At("1980-01-01T00:00:00Z");
  int32_t last = calendar.DayOf(t);
  for (; t < end; t = t + std::chrono::minutes(15)) {
    const int32_t day = calendar.DayOf(t);
    if (day < last) FAIL("at " << FormatRfc3339(t));
    last = day;
  }
}

TEST_CASE("calendar: every moment lies in its day, asked in any order") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any_ms(kEventTimeMin.ms(), kEventTimeMax.ms());
  for (const char* zone :
       {"UTC", "Europe/Berlin", "America/Santiago", "America/St_Johns", "Pacific/Apia",
        "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Europe/Dublin"}) {
    const Calendar calendar = In(zone);
    for (int i = 0; i < 5'000; ++i) {
      const EventTime t(any_ms(random));
      const int32_t day = calendar.DayOf(t);
      const bool inside = calendar.DayStart(day) <= t && t < calendar.DayStart(day + 1);
      if (!inside) FAIL(zone << " " << FormatRfc3339(t) << " is not in day " << day);
      if (calendar.DayOf(t) != Calendar(calendar).DayOf(t))
        FAIL("a copy disagrees at " << FormatRfc3339(t));
    }
  }
}
