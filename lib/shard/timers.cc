#include "shard/timers.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <utility>
#include <vector>

namespace heartbeatd {
namespace {

int64_t HourOf(EventTime t) {
  return std::chrono::floor<std::chrono::hours>(Duration(t.ms())).count();
}

}  // namespace

TimerIndex::TimerIndex(Store& store, std::function<bool(const Timer&)> is_stale, size_t live_max)
    : store_(store),
      is_stale_(std::move(is_stale)),
      live_max_(std::max(live_max, 2 * kChunk)),
      far_from_(std::numeric_limits<int64_t>::min()) {}

Result<std::optional<Timer>> TimerIndex::First(EventTime up_to) {
  OpenThrough(up_to);
  // The first entry in memory is the first of all only if the store cannot hold an earlier one.
  while (loaded_through_.due != EventTime::Never() && loaded_through_.due <= up_to &&
         (near_.empty() || loaded_through_ < *near_.begin())) {
    Result<std::vector<Timer>> chunk = store_.Timers(loaded_through_, kChunk);
    if (!chunk) return std::unexpected(std::move(chunk.error()));
    loaded_through_ = chunk->size() < kChunk ? Timer{EventTime::Never(), ""} : chunk->back();
    for (Timer& timer : *chunk) {
      if (!is_stale_(timer)) Add(std::move(timer));
    }
  }
  if (near_.empty() || near_.begin()->due > up_to) return std::nullopt;
  return *near_.begin();
}

void TimerIndex::Next(size_t limit, std::vector<std::string_view>* customers) const {
  for (auto timer = near_.begin(); limit > 0 && timer != near_.end(); ++timer, --limit)
    customers->push_back(timer->customer);
}

void TimerIndex::Add(Timer timer) {
  if (timer.due == EventTime::Never()) return;
  const int64_t hour = HourOf(timer.due);
  if (hour < far_from_) {
    near_.insert(std::move(timer));
  } else if (far_[hour].insert(std::move(timer)).second) {
    ++far_size_;
  }
}

void TimerIndex::Remove(const Timer& timer) {
  const int64_t hour = HourOf(timer.due);
  if (hour < far_from_) {
    near_.erase(timer);
    return;
  }
  const auto at = far_.find(hour);
  if (at == far_.end()) return;
  far_size_ -= at->second.erase(timer);
  if (at->second.empty()) far_.erase(at);
}

void TimerIndex::OpenThrough(EventTime t) {
  const int64_t hour = HourOf(t);
  if (hour < far_from_) return;
  far_from_ = hour + 1;
  while (!far_.empty() && far_.begin()->first < far_from_) {
    Hour& first = far_.begin()->second;
    far_size_ -= first.size();
    for (auto timer = first.begin(); timer != first.end();)
      near_.insert(std::move(first.extract(timer++).value()));
    far_.erase(far_.begin());
  }
}

void TimerIndex::OnSaved() {
  if (size() > live_max_) {
    Timer last_kept = Nth(live_max_ / 2);
    if (last_kept < loaded_through_) loaded_through_ = std::move(last_kept);
  }
  EraseAfter(loaded_through_);
}

Timer TimerIndex::Nth(size_t n) const {
  if (n < near_.size()) return *std::next(near_.begin(), static_cast<std::ptrdiff_t>(n));
  n -= near_.size();
  auto hour = far_.begin();
  for (; n >= hour->second.size(); ++hour) n -= hour->second.size();
  std::vector<const Timer*> entries;
  entries.reserve(hour->second.size());
  for (const Timer& timer : hour->second) entries.push_back(&timer);
  const auto nth = entries.begin() + static_cast<std::ptrdiff_t>(n);
  std::nth_element(entries.begin(), nth, entries.end(),
                   [](const Timer* a, const Timer* b) { return *a < *b; });
  return **nth;
}

void TimerIndex::EraseAfter(const Timer& last) {
  near_.erase(near_.upper_bound(last), near_.end());
  for (auto hour = far_.lower_bound(HourOf(last.due)); hour != far_.end();) {
    far_size_ -= absl::erase_if(hour->second, [&](const Timer& timer) { return last < timer; });
    hour = hour->second.empty() ? far_.erase(hour) : std::next(hour);
  }
}

}  // namespace heartbeatd
