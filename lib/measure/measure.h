// Measures: named per-customer series. What the configuration says of one (MeasureDef), what is
// remembered of it per customer (MeasureState), and how an event changes it.
//
// A measure keeps sparse buckets of calendar days, hours or minutes, lifetime totals, and the
// customer's cadence: statistics of the gaps between activity days, from which the lapse score
// (lapse.h) is computed. Everything here is a pure function of its arguments; nothing is
// thread-safe beyond that, and a Calendar carries a cache, so use one per thread.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/calendar.h"
#include "base/time.h"
#include "event/event.h"
#include "measure/match.h"

namespace heartbeatd {

enum class Resolution : uint8_t { kDay, kHour, kMinute };

// The length of one bucket; of a nominal one for kDay.
Duration LengthOf(Resolution resolution);

// Constant after configuration.
struct MeasureDef {
  enum class Sum : uint8_t { kNone, kAmount, kProperty };

  std::string name;
  uint64_t key = 0;  // hash of name and definition: a changed definition starts with an empty state
  std::vector<int> types;  // numbers in the schema; empty: every type with a pulse (see IsPulse)
  std::vector<PropertyMatch> where;
  Sum sum = Sum::kNone;
  int sum_property = EventSchema::kUnknown;
  int distinct_property = EventSchema::kUnknown;
  Resolution resolution = Resolution::kDay;
  std::optional<double> population_gap_days;  // m0 of the lapse score
  int32_t buckets_kept = 0;  // closed buckets that some rule looks at; 0: none are kept
};

// By default a customer's life shows in every event but refund, erase, tick, support, feedback,
// contract and subscription.
bool IsPulse(BuiltinType type);

// Gaps between a customer's activity days, exponentially weighted: at a new activity day g days
// after the one before, x = f*x + 1 and s = f*s + g, with f = kForget. First day: x = s = 0.
struct Cadence {
  static constexpr double kForget = 0.9;
  uint32_t days = 0;     // activity days, the first included
  int32_t last_day = 0;  // number of the newest one; meaningless while days == 0
  double x = 0;          // effective number of gaps
  double s = 0;          // effective sum of gaps, in days
  bool operator==(const Cadence&) const = default;
};

// Hashes in ascending order. Most sets have none or one or two, which need no memory of their own.
class HashSet {
 public:
  [[nodiscard]] std::span<const uint32_t> hashes() const { return hashes_; }
  [[nodiscard]] size_t size() const { return hashes_.size(); }
  [[nodiscard]] bool empty() const { return hashes_.empty(); }
  // False, and nothing is added, if it is there already.
  bool Insert(uint32_t hash);
  // The same for a hash that must come behind all others.
  bool Append(uint32_t hash) {
    if (!hashes_.empty() && hashes_.back() >= hash) return false;
    hashes_.push_back(hash);
    return true;
  }
  bool operator==(const HashSet&) const = default;

 private:
  absl::InlinedVector<uint32_t, 4> hashes_;
};

// The events of one bucket. Refunds change `sum_micros` only, so a bucket may hold no event.
struct Bucket {
  static constexpr size_t kDistinctMax = 64;
  int32_t index = 0;
  uint32_t count = 0;
  int64_t sum_micros = 0;
  HashSet distinct;  // saturated at kDistinctMax
  bool operator==(const Bucket&) const = default;
};

// One measure of one customer. Default state: nothing seen.
struct MeasureState {
  EventTime first;  // meaningless while count == 0
  EventTime last;
  uint64_t count = 0;
  int64_t sum_micros = 0;  // saturates
  Cadence cadence;
  std::vector<Bucket> buckets;  // ascending by index, never two with one index
  bool operator==(const MeasureState&) const = default;
  [[nodiscard]] bool empty() const { return count == 0 && sum_micros == 0 && buckets.empty(); }
};

// The number of the bucket in which t lies, and where a bucket begins. Buckets of hours and minutes
// count from the epoch, UTC; those of days are the calendar's.
int32_t BucketOf(Resolution resolution, const Calendar& calendar, EventTime t);
EventTime BucketStart(Resolution resolution, const Calendar& calendar, int32_t index);

// What applying an event did.
struct Applied {
  bool touched = false;  // the measure's state changed
  bool counted = false;  // by an event of the measure, not by a refund that takes money from it
  bool beyond_retention = false;  // too late for its bucket: totals only
  bool distinct_saturated = false;
};

// Applies an event to the measure if it belongs to it; a refund to measures that sum money. `now`
// is the shard's clock, at or after the event's time; buckets that no rule looks at any more are
// dropped. A late event (before the newest one) repairs its bucket and the totals but never the
// cadence, unless it falls on the newest activity day or later.
Applied Apply(const MeasureDef& def, const Calendar& calendar, const Event& event, EventTime now,
              MeasureState* state);

// The distinct hashes of several sets, counted. Sets come in ascending order and are small.
class HashUnion {
 public:
  void Add(std::span<const uint32_t> hashes);
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(all_.size()); }

 private:
  static constexpr size_t kInPlace = 16;
  using Hashes = absl::InlinedVector<uint32_t, kInPlace>;
  Hashes all_;  // ascending
};

// Totals over the buckets with from <= index < to.
struct WindowTotals {
  int64_t count = 0;
  int64_t sum_micros = 0;
  int64_t distinct = 0;
  int64_t days = 0;  // calendar days with an event
};
WindowTotals TotalsOf(const MeasureDef& def, const Calendar& calendar, const MeasureState& state,
                      int32_t from, int32_t to);

// a + b, at the ends of int64 instead of beyond them.
int64_t SaturatingAdd(int64_t a, int64_t b);

}  // namespace heartbeatd
