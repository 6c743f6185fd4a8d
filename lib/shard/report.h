// What operators see of a shard.
#pragma once

#include "base/time.h"
#include "metrics/metrics.h"
#include "shard/shard.h"

namespace heartbeatd {

// Adds to the counters what has come since `*last`, which becomes what it is now (and is empty for
// a shard that was just opened), and sets the gauges. Warns once of keys that are not their
// customer's id. For the shard's own thread.
void ReportShard(const Shard& shard, WallTime now, ShardCounters* last, Metrics* metrics);

}  // namespace heartbeatd
