#include "base/clock.h"

#include <chrono>

#include "base/fault.h"

namespace heartbeatd {

WallTime SystemClock::Now() const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return WallTime(std::chrono::duration_cast<Duration>(now).count() +
                  HB_FAULT_CLOCK_SHIFT_MS("wall"));
}

Duration SystemClock::Monotonic() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<Duration>(now) + Duration(HB_FAULT_CLOCK_SHIFT_MS("monotonic"));
}

}  // namespace heartbeatd
