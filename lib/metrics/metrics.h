// What operators see: counters, gauges and histograms in Prometheus' text format, all with the
// prefix heartbeatd_ and in base units. Never a customer id as a label.
//
// Thread-safe. Workers report once per commit, not per event.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/time.h"

namespace heartbeatd {

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // `outcome`: applied, late, duplicate, tick, erased, dead_letter.
  void AddEvents(std::string_view outcome, uint64_t n);
  void AddDeadLetters(std::string_view reason, uint64_t n);
  void AddAlerts(std::string_view rule, std::string_view status, std::string_view reason,
                 uint64_t n);
  // Things worth counting that have no better place: late_beyond_retention, distinct_saturated,
  // mismatched_keys, merge_overflows, timers_fired.
  void AddNoted(std::string_view what, uint64_t n);

  // `result`: committed, aborted, ambiguous, fenced.
  void OnCommit(std::string_view result, Duration took, uint64_t records);
  void OnSave(Duration took, uint64_t customers, uint64_t bytes);
  void AddRestored(uint64_t records);
  // A shard's local state is thrown away and read anew from the changelog. `reason`: missing,
  // damaged, other_cluster, other_changelog, outside_changelog, too_old.
  void OnRebuild(std::string_view reason);

  struct ShardView {
    int64_t lag_messages = 0;
    double lag_seconds = 0;        // how far the newest applied event is behind, 0 once drained
    double clock_seconds = 0;      // T, Unix time
    std::string_view clock_state;  // events, wall, outage, restoring
    uint64_t customers = 0;
    uint64_t restore_remaining = 0;  // changelog offsets still to read
  };
  void SetShard(int32_t partition, const ShardView& view);
  void DropShard(int32_t partition);

  // The page for GET /metrics.
  [[nodiscard]] std::string Text() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
