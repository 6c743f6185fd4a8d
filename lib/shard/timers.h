// The shard's deadlines in order of time: a derived index over the customers' due times.
//
// The store holds the index as of the last write-behind; here are its beginning (as far as it was
// needed) and everything that changed since. An entry may lie earlier than the customer's real
// deadline, never later: a deadline that moves back leaves its entry where it is, and whoever pops
// it puts it in the right place. So a busy customer costs one move per deadline reached, not per
// event.
#pragma once

#include <absl/container/btree_set.h>

#include <cstddef>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/time.h"
#include "store/store.h"

namespace heartbeatd {

// Not thread-safe. The store must outlive it.
class TimerIndex {
 public:
  // `is_stale(entry)`: the customer's entry lies elsewhere by now, though the store does not know
  // yet.
  // `live_max`: so many entries are kept in memory after a save.
  TimerIndex(Store& store, std::function<bool(const Timer&)> is_stale, size_t live_max = 65'536);

  // The first entry with due <= up_to, if there is one.
  Result<std::optional<Timer>> First(EventTime up_to);
  void Add(Timer timer);
  void Remove(const Timer& timer) { live_.erase(timer); }

  // Everything that was added or removed is in the store now: what lies far ahead may be forgotten.
  void OnSaved();

  // Entries in memory.
  [[nodiscard]] size_t size() const { return live_.size(); }

 private:
  static constexpr size_t kChunk = 4096;

  Store& store_;
  std::function<bool(const Timer&)> is_stale_;
  size_t live_max_;
  // Complete up to loaded_through_ (inclusive); beyond it only what is not in the store.
  absl::btree_set<Timer> live_;
  Timer loaded_through_{EventTime::Min(), ""};
};

}  // namespace heartbeatd
