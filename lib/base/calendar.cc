#include "base/calendar.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>

namespace heartbeatd {
namespace {

int64_t FloorDiv(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int32_t LocalDay(int64_t ms, int64_t offset_ms) {
  return static_cast<int32_t>(FloorDiv(ms + offset_ms, kMsPerDay));
}

}  // namespace

struct Calendar::Zone {
  const date::time_zone* tz;
};

Result<Calendar> Calendar::Make(const std::string& zone) {
  Calendar calendar;
  if (zone == "UTC") return calendar;
  try {
    calendar.zone_ = std::make_shared<const Zone>(Zone{date::locate_zone(zone)});
  } catch (const std::exception&) {
    return Fail(fmt::format(
        "time zone '{}' is unknown: use an IANA name such as Europe/Berlin (package tzdata)",
        zone));
  }
  return calendar;
}

const Calendar::Stretch& Calendar::StretchAt(int64_t ms) const {
  if (ms < cached_.begin_ms || ms >= cached_.end_ms) {
    const date::sys_info info = zone_->tz->get_info(date::sys_time<Duration>(Duration(ms)));
    const auto clamp = [](date::sys_seconds t) {
      // The database's first and last stretches reach to the ends of its own seconds.
      constexpr int64_t kFar = int64_t{1} << 40;
      const int64_t s = t.time_since_epoch().count();
      return (s < -kFar ? -kFar : s > kFar ? kFar : s) * 1000;
    };
    const int64_t begin_ms = clamp(info.begin);
    const date::sys_time<Duration> before{Duration(begin_ms - 1)};
    const int64_t offset_before_ms = zone_->tz->get_info(before).offset.count() * 1000;
    cached_ = {begin_ms, clamp(info.end), info.offset.count() * 1000,
               LocalDay(begin_ms - 1, offset_before_ms)};
  }
  return cached_;
}

int32_t Calendar::DayOf(EventTime t) const {
  if (!zone_) return LocalDay(t.ms(), 0);
  const Stretch& stretch = StretchAt(t.ms());
  return std::max(LocalDay(t.ms(), stretch.offset_ms), stretch.first_day);
}

EventTime Calendar::DayStart(int32_t day) const {
  const int64_t local_ms = int64_t{day} * kMsPerDay;
  if (!zone_) return EventTime(local_ms);
  const date::local_time<Duration> midnight{Duration(local_ms)};
  return EventTime(zone_->tz->to_sys(midnight, date::choose::earliest).time_since_epoch().count());
}

}  // namespace heartbeatd
