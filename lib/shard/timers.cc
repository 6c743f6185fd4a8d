#include "shard/timers.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace heartbeatd {

TimerIndex::TimerIndex(Store& store, std::function<bool(const Timer&)> is_stale, size_t live_max)
    : store_(store), is_stale_(std::move(is_stale)), live_max_(std::max(live_max, 2 * kChunk)) {}

Result<std::optional<Timer>> TimerIndex::First(EventTime up_to) {
  // The first live entry is the first of all only if the store cannot hold an earlier one.
  while (loaded_through_.due != EventTime::Never() && loaded_through_.due <= up_to &&
         (live_.empty() || loaded_through_ < *live_.begin())) {
    Result<std::vector<Timer>> chunk = store_.Timers(loaded_through_, kChunk);
    if (!chunk) return std::unexpected(std::move(chunk.error()));
    loaded_through_ = chunk->size() < kChunk ? Timer{EventTime::Never(), ""} : chunk->back();
    for (Timer& timer : *chunk) {
      if (!is_stale_(timer)) live_.insert(std::move(timer));
    }
  }
  if (live_.empty() || live_.begin()->due > up_to) return std::nullopt;
  return *live_.begin();
}

void TimerIndex::Add(Timer timer) {
  if (timer.due != EventTime::Never()) live_.insert(std::move(timer));
}

void TimerIndex::OnSaved() {
  if (live_.size() > live_max_) {
    const auto last_kept = std::next(live_.begin(), static_cast<std::ptrdiff_t>(live_max_ / 2));
    if (*last_kept < loaded_through_) loaded_through_ = *last_kept;
  }
  live_.erase(live_.upper_bound(loaded_through_), live_.end());
}

}  // namespace heartbeatd
