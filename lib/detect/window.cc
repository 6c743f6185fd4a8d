#include "detect/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "base/duration.h"
#include "detect/evidence.h"

namespace heartbeatd {

std::string_view NameOf(Value value) {
  static constexpr std::array<std::string_view, 4> kNames = {"count", "sum", "distinct", "days"};
  return kNames[static_cast<size_t>(value)];
}

double Pick(Value value, const WindowTotals& totals) {
  switch (value) {
    case Value::kCount:
      return static_cast<double>(totals.count);
    case Value::kSum:
      return Units(totals.sum_micros);
    case Value::kDistinct:
      return static_cast<double>(totals.distinct);
    case Value::kDays:
      return static_cast<double>(totals.days);
  }
  __builtin_unreachable();
}

bool Lowers(Value value, const MeasureDef& def, const Event& event) {
  if (value != Value::kSum) return false;
  if (event.builtin == BuiltinType::kRefund) return true;
  if (def.sum == MeasureDef::Sum::kAmount) return event.amount_micros.value_or(0) < 0;
  const Property* property = event.Find(def.sum_property);
  return property != nullptr && property->number.value_or(0) < 0;
}

Value ReadValue(MapReader& fields, const DetectorContext& context, int measure) {
  const auto value =
      static_cast<Value>(fields.Choice("value", {"count", "sum", "distinct", "days"}).value_or(0));
  if (measure < 0) return value;
  const MeasureDef& def = context.measures[static_cast<size_t>(measure)];
  const bool missing =
      (value == Value::kSum && def.sum == MeasureDef::Sum::kNone) ||
      (value == Value::kDistinct && def.distinct_property == EventSchema::kUnknown);
  if (missing) {
    fields.ErrorAt(
        "value", fmt::format("'value: {0}' needs '{0}' in measure '{1}'", NameOf(value), def.name));
  }
  return value;
}

int32_t WidthOf(MapReader& fields, std::string_view key, Duration length, Resolution resolution) {
  const Duration bucket = LengthOf(resolution);
  if (length <= Duration(0) || length % bucket != Duration(0)) {
    fields.ErrorAt(key, fmt::format("{} {} is no multiple of the measure's resolution {}", key,
                                    FormatDuration(length), FormatDuration(bucket)));
    return 0;
  }
  constexpr int64_t kBucketsMax = 100'000;
  const int64_t buckets = length / bucket;
  if (buckets > kBucketsMax) {
    fields.ErrorAt(key, fmt::format("{} {} has more than {} buckets: choose a coarser resolution",
                                    key, FormatDuration(length), kBucketsMax));
    return 0;
  }
  return static_cast<int32_t>(buckets);
}

int32_t ObservedBucket(const MeasureDef& def, const Calendar& calendar, const MeasureState& state,
                       Duration least) {
  const int32_t first = BucketOf(def.resolution, calendar, state.first);
  if (def.resolution == Resolution::kDay && least % LengthOf(def.resolution) == Duration(0))
    return first + static_cast<int32_t>(least / LengthOf(def.resolution));
  const EventTime start = BucketStart(def.resolution, calendar, first);
  return BucketOf(def.resolution, calendar, start + least - Duration(1)) + 1;
}

WindowTotals LiveWindow::Totals(const Subject& s, EventTime at) const {
  const MeasureDef& def = s.measure_defs[measure];
  const int32_t running = BucketOf(def.resolution, s.calendar, at);
  return TotalsOf(def, s.calendar, s.measures[measure], running - width + 1, running + 1);
}

bool LiveWindow::CanReach(const Subject& s, double limit) const {
  // Sums may have been higher before a refund.
  return value == Value::kSum || static_cast<double>(s.measures[measure].count) >= limit;
}

EventTime LiveWindow::FallsBelow(const Subject& s, double limit) const {
  return FirstLeaving(s, limit, Side::kBelow);
}

EventTime LiveWindow::RisesTo(const Subject& s, double limit) const {
  if (value != Value::kSum) return EventTime::Never();
  return FirstLeaving(s, limit, Side::kAtLeast);
}

// Buckets leave oldest first. Walks from the newest to the oldest, so that what is left after each
// one is known, and notes the last (oldest) one after which the value lies on the wanted side.
EventTime LiveWindow::FirstLeaving(const Subject& s, double limit, Side side) const {
  const MeasureDef& def = s.measure_defs[measure];
  const std::vector<Bucket>& buckets = s.measures[measure].buckets;
  const int32_t oldest = BucketOf(def.resolution, s.calendar, s.now) - width + 1;
  WindowTotals left;
  HashUnion distinct;
  int32_t day_before = std::numeric_limits<int32_t>::max();
  std::optional<int32_t> found;
  for (auto bucket = buckets.rbegin(); bucket != buckets.rend() && bucket->index >= oldest;
       ++bucket) {
    if ((Pick(value, left) < limit) == (side == Side::kBelow)) found = bucket->index + width;
    left.count += bucket->count;
    left.sum_micros = SaturatingAdd(left.sum_micros, bucket->sum_micros);
    if (value == Value::kDistinct) {
      distinct.Add(bucket->distinct.hashes());
      left.distinct = distinct.size();
    }
    if (value == Value::kDays && bucket->count > 0) {
      const int32_t day = s.calendar.DayOf(BucketStart(def.resolution, s.calendar, bucket->index));
      if (day != day_before) ++left.days;
      day_before = day;
    }
  }
  return found ? BucketStart(def.resolution, s.calendar, *found) : EventTime::Never();
}

}  // namespace heartbeatd
