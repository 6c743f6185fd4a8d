#include "customer/state.h"

#include <algorithm>

namespace heartbeatd {
namespace {

// An allocation with what the allocator rounds it up by, on average.
size_t Allocated(size_t bytes) { return bytes == 0 ? 0 : bytes + bytes / 8 + 8; }

template <typename T>
size_t HeapOf(const std::vector<T>& list) {
  return Allocated(list.capacity() * sizeof(T));
}
size_t HeapOf(const std::string& text) {
  return text.capacity() < sizeof(std::string) / 2 ? 0 : Allocated(text.capacity() + 1);
}

size_t HeapOf(const MeasureState& measure) {
  size_t bytes = HeapOf(measure.buckets);
  // Either all buckets of a measure have hashes or none has.
  if (measure.buckets.empty() || measure.buckets.back().distinct.empty()) return bytes;
  for (const Bucket& bucket : measure.buckets)
    bytes += Allocated(sizeof(std::vector<uint32_t>)) +
             Allocated(bucket.distinct.size() * sizeof(uint32_t));
  return bytes;
}

size_t HeapOf(const RuleState& rule) {
  size_t bytes = HeapOf(rule.memory) + HeapOf(rule.episodes);
  for (const Episode& episode : rule.episodes)
    bytes += HeapOf(episode.key) + HeapOf(episode.evidence);
  return bytes;
}

}  // namespace

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

size_t MemoryOf(const CustomerState& state) {
  size_t bytes = HeapOf(state.measures) + HeapOf(state.rules) + HeapOf(state.recent.entries());
  for (const MeasureState& measure : state.measures) bytes += HeapOf(measure);
  for (const RuleState& rule : state.rules) bytes += HeapOf(rule);
  return bytes;
}

}  // namespace heartbeatd
