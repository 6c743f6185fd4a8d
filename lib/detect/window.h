// What the detectors that look at windows of a measure share: which number of the window a rule is
// about, how a window is configured, and since when a customer has been observed.
#pragma once

#include <string_view>

#include "base/node.h"
#include "detect/detector.h"
#include "measure/measure.h"

namespace heartbeatd {

enum class Value : uint8_t { kCount, kSum, kDistinct, kDays };

std::string_view NameOf(Value value);  // "count", ...

// The number that the rule is about; money in units.
double Pick(Value value, const WindowTotals& totals);

// Whether applying `event` to the measure may have lowered the value of a window.
bool Lowers(Value value, const MeasureDef& def, const Event& event);

// Reads `value` (default: count) and checks that the measure holds it; `measure` may be -1.
Value ReadValue(MapReader& fields, const DetectorContext& context, int measure);

// How many buckets `length` spans, which stands under `key`; 0 after an error.
int32_t WidthOf(MapReader& fields, std::string_view key, Duration length, Resolution resolution);

// The first bucket whose start lies `least` or more after the start of the bucket of the measure's
// first event. Of calendar days if `least` is whole days: those of changes to daylight saving time
// count like any other.
int32_t ObservedBucket(const MeasureDef& def, const Calendar& calendar, const MeasureState& state,
                       Duration least);

// A window that ends with the running bucket, for rules that must see an event at once.
struct LiveWindow {
  size_t measure = 0;
  Value value = Value::kCount;
  Duration length{};
  int32_t width = 0;  // buckets, the running one included

  [[nodiscard]] WindowTotals Totals(const Subject& s, EventTime at) const;
  // The value at `s.now`.
  [[nodiscard]] double Now(const Subject& s) const { return Pick(value, Totals(s, s.now)); }
  // Whether the value can reach `limit` at all: a cheap look at what was ever seen.
  [[nodiscard]] bool CanReach(const Subject& s, double limit) const;
  // The first moment after `s.now` at which the value is below `limit` if no event comes, given
  // that it is not now; Never() if there is none.
  [[nodiscard]] EventTime FallsBelow(const Subject& s, double limit) const;
  // The first moment at which it is `limit` or more again if no event comes, given that it is below
  // now: when a bucket of more refunds than money leaves. Never() if there is none.
  [[nodiscard]] EventTime RisesTo(const Subject& s, double limit) const;

 private:
  enum class Side : uint8_t { kBelow, kAtLeast };
  // The first moment at which a bucket leaves and puts the value on this side of the limit.
  [[nodiscard]] EventTime FirstLeaving(const Subject& s, double limit, Side side) const;
};

}  // namespace heartbeatd
