// The comparison behind `dropping` and `increasing`: the newest closed window of a measure against
// the customer's own earlier windows. Judged when a bucket closes, over closed buckets only: a
// running day in the window would make it look short every night.
#pragma once

#include "detect/detector.h"

namespace heartbeatd {

enum class Direction : uint8_t { kDown, kUp };

// Reads the fields of either detector; they are the same but for the ratio's range.
Detector MakeComparison(MapReader& fields, const DetectorContext& context, Direction direction);

}  // namespace heartbeatd
