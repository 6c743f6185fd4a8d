#include "shard/report.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>

namespace heartbeatd {

void ReportShard(const Shard& shard, WallTime now, ShardCounters* last, Metrics* metrics) {
  ShardCounters counters = shard.counters();
  counters.merge_overflows = shard.intake().overflows();
  metrics->AddEvents("applied", counters.applied - last->applied);
  metrics->AddEvents("late", counters.late - last->late);
  metrics->AddEvents("duplicate", counters.duplicates - last->duplicates);
  metrics->AddEvents("tick", counters.ticks - last->ticks);
  metrics->AddEvents("erased", counters.erased - last->erased);
  metrics->AddEvents("dead_letter", counters.dead_letters - last->dead_letters);
  metrics->AddNoted("timers_fired", counters.timers_fired - last->timers_fired);
  metrics->AddNoted("late_beyond_retention", counters.beyond_retention - last->beyond_retention);
  metrics->AddNoted("distinct_saturated", counters.distinct_saturated - last->distinct_saturated);
  metrics->AddNoted("mismatched_keys", counters.mismatched_keys - last->mismatched_keys);
  metrics->AddNoted("merge_overflows", counters.merge_overflows - last->merge_overflows);
  if (counters.mismatched_keys > 0 && last->mismatched_keys == 0) {
    spdlog::warn(
        "partition {} has messages whose key is not their customer's id: one customer's events "
        "must all go to one partition",
        shard.options().partition);
  }
  *last = counters;
  const bool drained = shard.IsDrained();
  const bool outage =
      drained && shard.options().time_source == TimeSource::kWall && shard.IsOutage(now);
  const bool wall = drained && shard.options().time_source == TimeSource::kWall;
  const double behind =
      shard.last_event() == EventTime::Min()
          ? 0.0
          : std::chrono::duration<double>(AsEventTime(now) - shard.last_event()).count();
  metrics->SetShard(
      shard.options().partition,
      {.lag_messages = shard.intake().Lag(),
       .lag_seconds = drained ? 0.0 : std::max(0.0, behind),
       .clock_seconds =
           shard.clock() == EventTime::Min() ? 0.0 : static_cast<double>(shard.clock().ms()) / 1000,
       .clock_state = outage ? "outage"
                      : wall ? "wall"
                             : "events",
       .customers = shard.customers_known()});
}

}  // namespace heartbeatd
