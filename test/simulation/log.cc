#include "simulation/log.h"

#include <algorithm>
#include <map>
#include <utility>

namespace heartbeatd::sim {

int64_t Log::Append(Entry entry) {
  entry.offset = end_;
  if (entry.fate == Entry::Fate::kOpen) open_.insert(end_);
  entries_.push_back(std::move(entry));
  return end_++;
}

void Log::EndTransaction(const std::vector<int64_t>& offsets, bool commit) {
  for (const int64_t offset : offsets) {
    open_.erase(offset);
    const auto at = At(offset);
    entries_[static_cast<size_t>(at - entries_.cbegin())].fate =
        commit ? Entry::Fate::kCommitted : Entry::Fate::kAborted;
  }
  Append({.fate = Entry::Fate::kControl});
}

void Log::Compact(Duration now, Duration retention) {
  const int64_t until = last_stable();
  std::map<std::string, int64_t> newest;
  for (const Entry& entry : entries_) {
    if (entry.offset < until && entry.fate == Entry::Fate::kCommitted && entry.key)
      newest[*entry.key] = entry.offset;
  }
  std::erase_if(entries_, [&](Entry& entry) {
    if (entry.offset >= until || entry.offset == end_ - 1) return false;
    if (entry.fate != Entry::Fate::kCommitted) return true;  // aborted, or a control record
    if (entry.offset < newest[*entry.key]) return true;
    if (entry.value) return false;
    if (!entry.cleaned) entry.cleaned = now;
    return now - *entry.cleaned > retention;
  });
}

std::vector<Entry>::const_iterator Log::At(int64_t offset) const {
  return std::lower_bound(entries_.begin(), entries_.end(), offset,
                          [](const Entry& entry, int64_t o) { return entry.offset < o; });
}

const Entry* Log::ReadCommitted(int64_t offset, int64_t* next) const {
  const int64_t until = last_stable();
  for (auto it = At(offset); it != entries_.end() && it->offset < until; ++it) {
    if (it->fate == Entry::Fate::kCommitted) return &*it;
  }
  *next = std::max(offset, until);
  return nullptr;
}

}  // namespace heartbeatd::sim
