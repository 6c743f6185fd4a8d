// Everything that is remembered of one customer, in the form in which the shard works on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "alert/policy.h"
#include "base/time.h"
#include "lifecycle/activity.h"
#include "measure/measure.h"

namespace heartbeatd {

// One rule's part.
struct RuleState {
  EventTime due = EventTime::Never();  // when the rule wants to look again if no event comes
  std::string memory;                  // the detector's own
  std::vector<Episode> episodes;       // ascending by key
  [[nodiscard]] bool empty() const {
    return due == EventTime::Never() && memory.empty() && episodes.empty();
  }
};

// The newest event ids, to make a repeated one change nothing. A ring: the oldest goes first.
class RecentIds {
 public:
  struct Entry {
    uint64_t hash = 0;
    int64_t ms = 0;  // T when it came: a late event is remembered as long as any other
  };

  [[nodiscard]] bool Contains(uint64_t hash) const;
  // Forgets what is older than `oldest_ms`, then, if it is full, the oldest entry; then adds.
  void Add(Entry entry, size_t entries_max, int64_t oldest_ms);
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  std::vector<Entry>& entries() { return entries_; }

 private:
  std::vector<Entry> entries_;  // oldest first
};

// `measures` and `rules` are parallel to those of the RuleSet in force.
struct CustomerState {
  EventTime first_seen = EventTime::Never();
  EventTime last_seen = EventTime::Min();
  LifecycleState lifecycle;
  // When the activity changes next, if that is watched; derived. Of a state that was read, a time
  // at or before it, until the evaluator has looked at it.
  EventTime lifecycle_due = EventTime::Never();
  std::vector<MeasureState> measures;
  std::vector<RuleState> rules;
  RecentIds recent;

  // The earliest deadline of all.
  [[nodiscard]] EventTime Due() const;
};

}  // namespace heartbeatd
