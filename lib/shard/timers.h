// The shard's deadlines in order of time: a derived index over the customers' due times.
//
// What is due within the hour is kept in order; what comes later in an unordered set for each hour,
// which is put in order when its time has come: most entries move at least once before that, and
// in a set that costs a fraction.
//
// The store holds the index as of the last write-behind; here are its beginning (as far as it was
// needed) and everything that changed since. An entry may lie earlier than the customer's real
// deadline, never later: a deadline that moves back leaves its entry where it is, and whoever pops
// it puts it in the right place. So a busy customer costs one move per deadline reached, not per
// event.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_set.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/id.h"
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
  // The customers of some of the entries that come first, in order; for whoever fetches ahead.
  void Next(size_t limit, std::vector<std::string_view>* customers) const;
  void Add(Timer timer);
  void Remove(const Timer& timer);

  // Everything that was added or removed is in the store now: what lies far ahead may be forgotten.
  void OnSaved();

  // Entries in memory.
  [[nodiscard]] size_t size() const { return near_.size() + far_size_; }

 private:
  static constexpr size_t kChunk = 4096;

  struct Hash {
    size_t operator()(const Timer& timer) const { return IdHash()(timer.customer); }
  };
  using Hour = absl::flat_hash_set<Timer, Hash>;

  // Puts everything that is due by the end of t's hour in order.
  void OpenThrough(EventTime t);
  // Forgets what lies behind `last`.
  void EraseAfter(const Timer& last);
  // The n-th entry in order, from 0; n < size().
  [[nodiscard]] Timer Nth(size_t n) const;

  Store& store_;
  std::function<bool(const Timer&)> is_stale_;
  size_t live_max_;
  // Together complete up to loaded_through_ (inclusive); beyond it only what is not in the store.
  absl::btree_set<Timer> near_;         // of the hours before far_from_
  absl::btree_map<int64_t, Hour> far_;  // by the number of the hour; none is empty
  size_t far_size_ = 0;                 // entries of all of them
  int64_t far_from_;
  Timer loaded_through_{EventTime::Min(), ""};
};

}  // namespace heartbeatd
