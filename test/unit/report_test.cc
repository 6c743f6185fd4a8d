// What operators see of a shard.
#include "shard/report.h"

#include <string>
#include <string_view>

#include "catch.h"
#include "given.h"
#include "metric_of.h"
#include "shard_driver.h"

namespace heartbeatd {
namespace {

constexpr const char* kRules = R"(
measures: {m: {type: purchase}}
rules: [{id: quiet, detector: silence, measure: m, after: 10d, minimum: {days: 1}}]
)";
const EventTime kT = At("2026-03-01T09:00:00Z");

std::string Events(const Metrics& metrics, std::string_view outcome) {
  return MetricOf(metrics, fmt::format(R"(heartbeatd_events_total{{outcome="{}"}})", outcome));
}
std::string Noted(const Metrics& metrics, std::string_view kind) {
  return MetricOf(metrics, fmt::format(R"(heartbeatd_noted_total{{kind="{}"}})", kind));
}
// That of what moves the clock whose value is 1, or several.
std::string ClockState(const Metrics& metrics) {
  std::string states;
  for (const char* state : {"events", "wall", "outage", "restoring"}) {
    if (MetricOf(metrics, fmt::format(R"(heartbeatd_clock_state{{partition="0",state="{}"}})",
                                      state)) == "1")
      states += state;
  }
  return states;
}

TEST_CASE("report: counters grow by what has come since the last one") {
  Metrics metrics;
  ShardCounters last;
  ShardDriver driver({.rules = kRules});
  driver.Send(0, JsonOf("a", "1", kT, R"("type":"purchase")"), "a");
  driver.Send(0, JsonOf("a", "1", kT, R"("type":"purchase")"), "a");
  driver.Send(0, JsonOf("a", "2", kT + Days(1), R"("type":"purchase")"), "b");
  driver.Send(0, JsonOf("a", "3", kT, R"("type":"purchase")"), "a");
  driver.Send(0, "no JSON");
  driver.Tick(kT + Days(20));
  driver.Settle();
  ReportShard(driver.shard(), driver.wall, &last, &metrics);
  const auto check = [&] {
    CHECK(Events(metrics, "applied") == "2");
    CHECK(Events(metrics, "late") == "1");
    CHECK(Events(metrics, "duplicate") == "1");
    CHECK(Events(metrics, "dead_letter") == "1");
    CHECK(Events(metrics, "tick") == "1");
    CHECK(Noted(metrics, "timers_fired") == "1");
    CHECK(Noted(metrics, "mismatched_keys") == "1");
  };
  check();
  ReportShard(driver.shard(), driver.wall, &last, &metrics);
  check();

  // A shard that was opened again begins to count at zero.
  driver.Crash();
  last = {};
  ReportShard(driver.shard(), driver.wall, &last, &metrics);
  check();
  driver.Settle();
  ReportShard(driver.shard(), driver.wall, &last, &metrics);
  CHECK(Events(metrics, "applied") == "4");
  CHECK(Noted(metrics, "mismatched_keys") == "2");
}

TEST_CASE("report: how far a shard is, and what moves its clock") {
  Metrics metrics;
  ShardCounters last;
  ShardDriver driver(
      {.rules = kRules, .time_source = TimeSource::kWall, .outage = {.after = Hours(6)}});
  driver.wall = WallTime(kT.ms());
  const auto report = [&] { ReportShard(driver.shard(), driver.wall, &last, &metrics); };
  const auto gauge = [&](std::string_view name) {
    return MetricOf(metrics, fmt::format(R"(heartbeatd_{}{{partition="0"}})", name));
  };
  report();
  CHECK(ClockState(metrics) == "events");
  CHECK(gauge("clock_seconds") == "0");
  CHECK(gauge("lag_seconds") == "0");  // of nothing
  CHECK(gauge("customers") == "0");

  // Two have come, a third is on the topic.
  driver.Send(kT - Ms(90'000), "a");
  driver.Send(kT - Ms(60'000), "b");
  driver.Send(kT, "c");
  driver.Deliver(0, 2);
  driver.Probe();
  driver.Run();
  report();
  CHECK(ClockState(metrics) == "events");
  CHECK(gauge("lag_messages") == "1");
  CHECK(gauge("lag_seconds") == "60");
  CHECK(gauge("customers") == "2");

  driver.Settle();
  report();
  CHECK(ClockState(metrics) == "wall");
  CHECK(gauge("lag_messages") == "0");
  CHECK(gauge("lag_seconds") == "0");
  CHECK(gauge("clock_seconds") == std::to_string(kT.ms() / 1000));
  CHECK(gauge("customers") == "3");

  driver.wall = driver.wall + Hours(7);
  driver.Settle();
  report();
  CHECK(ClockState(metrics) == "outage");
}

}  // namespace
}  // namespace heartbeatd
