// What operators see of a shard.
#pragma once

#include "base/time.h"
#include "metrics/metrics.h"
#include "shard/shard.h"

namespace heartbeatd {

// Adds to the counters what has come since `*last`, which becomes what it is now, and sets the
// gauges.
void ReportShard(const Shard& shard, WallTime now, ShardCounters* last, Metrics* metrics);

}  // namespace heartbeatd
