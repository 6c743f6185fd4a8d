#include "event/moment.h"

#include <cmath>
#include <string>

namespace heartbeatd {

std::optional<EventTime> MomentOf(const Property* property, const Calendar& calendar) {
  if (property == nullptr) return {};
  std::optional<EventTime> moment;
  constexpr size_t kDayLength = 10;  // 2026-03-01
  if (property->number) {
    const double ms = *property->number;
    if (ms >= static_cast<double>(kEventTimeMin.ms()) &&
        ms < static_cast<double>(kEventTimeMax.ms()))
      moment = EventTime(std::llround(ms));
  } else if (property->text.size() == kDayLength) {
    if (const auto midnight = ParseRfc3339(property->text + "T00:00:00Z")) {
      const int64_t days = midnight->ms() / kMsPerDay - (midnight->ms() % kMsPerDay < 0 ? 1 : 0);
      moment = calendar.DayStart(static_cast<int32_t>(days));
    }
  } else {
    moment = ParseRfc3339(property->text);
  }
  if (moment && (*moment < kEventTimeMin || *moment >= kEventTimeMax)) return {};
  return moment;
}

}  // namespace heartbeatd
