// When a worker begins a transaction.
#include "shard/commit_schedule.h"

#include <string_view>

#include "catch.h"

using namespace heartbeatd;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr CommitScheduleOptions kOptions{.interval = milliseconds(100),
                                         .offset = milliseconds(25),
                                         .events_max = 1000,
                                         .position_age_max = seconds(5)};
constexpr Duration kBegun = milliseconds(1'130);  // a turn began at 1125

TEST_CASE("commits: one an interval, larger ones while much waits", "[commits]") {
  struct Row {
    std::string_view what;
    Uncommitted uncommitted;
    Duration now;
    bool due;
  };
  const Row rows[] = {
      {"nothing to commit", {}, seconds(100), false},
      {"in the same turn", {.changed = true}, milliseconds(1'224), false},
      {"in the next turn", {.changed = true}, milliseconds(1'225), true},
      {"less waits than a transaction has",
       {.changed = true, .lag = 999},
       milliseconds(1'225),
       true},
      {"a transaction waits", {.changed = true, .lag = 1000}, milliseconds(1'225), false},
      {"it waits, in the fourth turn", {.changed = true, .lag = 1000}, milliseconds(1'624), false},
      {"it waits, in the fifth turn", {.changed = true, .lag = 1000}, milliseconds(1'625), true},
      {"a position that has moved", {.moved = true}, milliseconds(5'999), false},
      {"a position that has moved long ago", {.moved = true}, milliseconds(6'000), true},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    CommitSchedule schedule(kOptions);
    schedule.OnPositionCommitted(seconds(1));
    schedule.OnBegun(kBegun);
    CHECK(schedule.IsDue(row.uncommitted, row.now) == row.due);
  }
}

TEST_CASE("commits: while much waits they come once a second at the least, or once an interval",
          "[commits]") {
  struct Row {
    Duration interval;
    Duration at_last;
  };
  const Row rows[] = {{milliseconds(1), milliseconds(5)},
                      {milliseconds(200), milliseconds(1'000)},
                      {milliseconds(400), milliseconds(800)},
                      {milliseconds(600), milliseconds(600)},
                      {seconds(60), seconds(60)}};
  for (const Row& row : rows) {
    CAPTURE(row.interval.count());
    CommitSchedule schedule({.interval = row.interval, .events_max = 10});
    schedule.OnBegun(Duration(0));
    const Uncommitted behind{.changed = true, .lag = 1'000'000};
    CHECK_FALSE(schedule.IsDue(behind, row.at_last - milliseconds(1)));
    CHECK(schedule.IsDue(behind, row.at_last));
  }
}

}  // namespace
