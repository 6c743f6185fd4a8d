#include "measure/measure.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <limits>

#include "base/id.h"

namespace heartbeatd {
namespace {

int64_t FloorDiv(int64_t a, int64_t b) { return a / b - (a % b != 0 && a < 0 ? 1 : 0); }

bool Counts(const MeasureDef& def, const Event& event) {
  // `types` holds numbers of the schema only, so a type that it does not name matches none of them.
  const bool type = def.types.empty() ? IsPulse(event.builtin)
                                      : std::find(def.types.begin(), def.types.end(), event.type) !=
                                            def.types.end();
  return type && Matches(def.where, event);
}

// What the event adds to the sum of the measure, in micro-units.
int64_t SumOf(const MeasureDef& def, const Event& event) {
  if (def.sum == MeasureDef::Sum::kAmount) return event.amount_micros.value_or(0);
  if (def.sum != MeasureDef::Sum::kProperty) return 0;
  const Property* property = event.Find(def.sum_property);
  if (property == nullptr || !property->number) return 0;
  return MicrosOf(std::clamp(*property->number, -kAmountMax, kAmountMax));
}

// The bucket with this index, made if it is not there.
Bucket& BucketAt(std::vector<Bucket>& buckets, int32_t index) {
  if (!buckets.empty() && buckets.back().index == index) return buckets.back();
  const auto at = std::lower_bound(buckets.begin(), buckets.end(), index,
                                   [](const Bucket& b, int32_t i) { return b.index < i; });
  if (at != buckets.end() && at->index == index) return *at;
  return *buckets.insert(at, Bucket{.index = index});
}

void DropOld(const MeasureDef& def, int32_t oldest_kept, std::vector<Bucket>* buckets) {
  if (def.buckets_kept == 0) {
    buckets->clear();
    return;
  }
  auto keep = buckets->begin();
  while (keep != buckets->end() && keep->index < oldest_kept) ++keep;
  if (keep != buckets->begin()) buckets->erase(buckets->begin(), keep);
}

// True if the set was full.
bool AddDistinct(const MeasureDef& def, const Event& event, Bucket* bucket) {
  const Property* property = event.Find(def.distinct_property);
  if (property == nullptr) return false;
  const uint32_t hash = static_cast<uint32_t>(Hash64(property->text));
  if (bucket->distinct.size() >= Bucket::kDistinctMax) {
    const std::span<const uint32_t> hashes = bucket->distinct.hashes();
    return !std::binary_search(hashes.begin(), hashes.end(), hash);
  }
  bucket->distinct.Insert(hash);
  return false;
}

void AddActivityDay(int32_t day, Cadence* cadence) {
  if (cadence->days == 0) {
    *cadence = Cadence{.days = 1, .last_day = day};
  } else if (day > cadence->last_day) {
    cadence->x = Cadence::kForget * cadence->x + 1;
    cadence->s = Cadence::kForget * cadence->s + (day - cadence->last_day);
    cadence->last_day = day;
    ++cadence->days;
  }
}

}  // namespace

bool HashSet::Insert(uint32_t hash) {
  const auto at = std::lower_bound(hashes_.begin(), hashes_.end(), hash);
  if (at != hashes_.end() && *at == hash) return false;
  hashes_.insert(at, hash);
  return true;
}

Duration LengthOf(Resolution resolution) {
  switch (resolution) {
    case Resolution::kDay:
      return std::chrono::hours(24);
    case Resolution::kHour:
      return std::chrono::hours(1);
    case Resolution::kMinute:
      return std::chrono::minutes(1);
  }
  __builtin_unreachable();
}

bool IsPulse(BuiltinType type) {
  switch (type) {
    case BuiltinType::kRefund:
    case BuiltinType::kErase:
    case BuiltinType::kTick:
    case BuiltinType::kSupport:
    case BuiltinType::kFeedback:
    case BuiltinType::kContract:
    case BuiltinType::kSubscription:
      return false;
    default:
      return true;
  }
}

int32_t BucketOf(Resolution resolution, const Calendar& calendar, EventTime t) {
  if (resolution == Resolution::kDay) return calendar.DayOf(t);
  return static_cast<int32_t>(FloorDiv(t.ms(), LengthOf(resolution).count()));
}

EventTime BucketStart(Resolution resolution, const Calendar& calendar, int32_t index) {
  if (resolution == Resolution::kDay) return calendar.DayStart(index);
  return EventTime(index * LengthOf(resolution).count());
}

int64_t SaturatingAdd(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (!__builtin_add_overflow(a, b, &sum)) return sum;
  return a > 0 ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min();
}

Applied Apply(const MeasureDef& def, const Calendar& calendar, const Event& event, EventTime now,
              MeasureState* state) {
  Applied applied;
  const bool counts = Counts(def, event);
  // A measure of refunds counts them like any other event.
  const bool refund = !counts && event.builtin == BuiltinType::kRefund &&
                      def.sum == MeasureDef::Sum::kAmount && event.amount_micros.has_value() &&
                      Matches(def.where, event);
  if (!refund && !counts) return applied;
  applied.touched = true;
  applied.counted = counts;

  // A refund's amount is a positive number in most shops and a negative one in some.
  const int64_t sum = refund ? -std::abs(*event.amount_micros) : SumOf(def, event);
  state->sum_micros = SaturatingAdd(state->sum_micros, sum);
  if (!refund) {
    state->first = state->count == 0 ? event.time : std::min(state->first, event.time);
    state->last = state->count == 0 ? event.time : std::max(state->last, event.time);
    ++state->count;
    AddActivityDay(calendar.DayOf(event.time), &state->cadence);
  }
  if (def.buckets_kept == 0) {
    state->buckets.clear();
    return applied;
  }

  const int32_t oldest_kept = BucketOf(def.resolution, calendar, now) - def.buckets_kept;
  const int32_t index = BucketOf(def.resolution, calendar, event.time);
  if (index < oldest_kept) {
    applied.beyond_retention = true;
  } else {
    Bucket& bucket = BucketAt(state->buckets, index);
    bucket.sum_micros = SaturatingAdd(bucket.sum_micros, sum);
    if (!refund) {
      ++bucket.count;
      if (def.distinct_property != EventSchema::kUnknown) {
        applied.distinct_saturated = AddDistinct(def, event, &bucket);
      }
    }
  }
  DropOld(def, oldest_kept, &state->buckets);
  return applied;
}

void HashUnion::Add(std::span<const uint32_t> hashes) {
  constexpr size_t kFew = 4;
  if (hashes.size() > kFew) {
    Hashes both;
    both.reserve(all_.size() + hashes.size());
    std::set_union(all_.begin(), all_.end(), hashes.begin(), hashes.end(),
                   std::back_inserter(both));
    all_.swap(both);
    return;
  }
  for (const uint32_t hash : hashes) {
    uint32_t* at = all_.data();
    uint32_t* const end = at + all_.size();
    if (all_.size() <= kInPlace) {
      while (at != end && *at < hash) ++at;
    } else {
      at = std::lower_bound(at, end, hash);
    }
    if (at == end || *at != hash) all_.insert(at, hash);
  }
}

WindowTotals TotalsOf(const MeasureDef& def, const Calendar& calendar, const MeasureState& state,
                      int32_t from, int32_t to) {
  WindowTotals totals;
  HashUnion distinct;
  int32_t last_day = std::numeric_limits<int32_t>::min();
  auto it = std::lower_bound(state.buckets.begin(), state.buckets.end(), from,
                             [](const Bucket& b, int32_t i) { return b.index < i; });
  for (; it != state.buckets.end() && it->index < to; ++it) {
    totals.count += it->count;
    totals.sum_micros = SaturatingAdd(totals.sum_micros, it->sum_micros);
    if (!it->distinct.empty()) distinct.Add(it->distinct.hashes());
    if (it->count == 0) continue;
    const int32_t day = def.resolution == Resolution::kDay
                            ? it->index
                            : calendar.DayOf(BucketStart(def.resolution, calendar, it->index));
    if (day != last_day) ++totals.days;
    last_day = day;
  }
  totals.distinct = distinct.size();
  return totals;
}

}  // namespace heartbeatd
