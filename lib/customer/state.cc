#include "customer/state.h"

#include <algorithm>

namespace heartbeatd {

bool RecentIds::Contains(uint64_t hash) const {
  return std::any_of(entries_.rbegin(), entries_.rend(),
                     [&](const Entry& e) { return e.hash == hash; });
}

void RecentIds::Add(Entry entry, size_t entries_max, int64_t oldest_ms) {
  size_t gone = 0;
  while (gone < entries_.size() &&
         (entries_[gone].ms < oldest_ms || entries_.size() - gone >= entries_max))
    ++gone;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(gone));
  if (entries_max > 0) entries_.push_back(entry);
}

EventTime CustomerState::Due() const {
  EventTime due = std::min(lifecycle_due, lifecycle.standing.due);
  for (const RuleState& rule : rules) due = std::min(due, rule.due);
  return due;
}

}  // namespace heartbeatd
