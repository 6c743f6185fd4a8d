// Durations as people write them: "28d", "1h", "90s", "100ms".
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

// One whole or decimal number and one unit of ms, s, m, h, d (24 h), w (7 d); "0" needs no unit.
// Up to kDurationMax; never negative.
inline constexpr Duration kDurationMax = std::chrono::hours(24) * 36'525;  // 100 years
Result<Duration> ParseDuration(std::string_view text);

// The largest unit of d, h, m, s, ms in which `d` is whole: "28d", "36h", "1500ms", "0s".
std::string FormatDuration(Duration d);

}  // namespace heartbeatd
