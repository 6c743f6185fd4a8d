// Private to this room: notices partitions whose fetcher has died without an error.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/time.h"

namespace heartbeatd {

// Counts, per partition, the ticks for which it was silent although it had something to deliver.
// Only ticks count in which everything that was fetched had been delivered: behind a busy
// partition's records another one's may wait long, and a worker that does not poll hears nothing at
// all.
//
// A pure decision: no clock, no I/O. Not thread-safe.
class Watchdog {
 public:
  static constexpr Duration kTick{1'000};
  static constexpr int kSilentTicksMax = 30;

  struct Sight {
    bool seen = false;    // something came since the last tick
    bool behind = false;  // the leader has said lately that there is more
  };

  void Reset(size_t partitions) { silent_ticks_.assign(partitions, 0); }

  // Call once a kTick. Returns a partition that has been silent too long; its count starts anew.
  std::optional<size_t> Tick(const std::vector<Sight>& sights, bool ran_dry);

 private:
  std::vector<int> silent_ticks_;
};

}  // namespace heartbeatd
