// Calendar days of one IANA time zone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

// Maps event times to local calendar days and back. A day is named by its number: days since
// 1970-01-01 in the local calendar. Days are 23 or 25 hours long at changes of daylight saving
// time; where a local midnight does not exist the day starts at the change, and where clocks go
// back over midnight the day that had begun goes on: day numbers never go back, and every `t` lies
// in [DayStart(DayOf(t)), DayStart(DayOf(t) + 1)).
//
// The zone database's compiled files list changes up to 2037; after that the last offset goes on.
//
// Copies share the zone but not the cache. Not thread-safe: give each thread its own copy.
class Calendar {
 public:
  // UTC.
  Calendar() = default;
  // `zone`: an IANA name such as "Europe/Berlin". Error: unknown zone, or no zone database.
  static Result<Calendar> Make(const std::string& zone);

  [[nodiscard]] int32_t DayOf(EventTime t) const;
  [[nodiscard]] EventTime DayStart(int32_t day) const;

 private:
  struct Zone;
  // The stretch [begin_ms, end_ms) over which the zone's offset is known to be offset_ms; first_day
  // had already begun before it.
  struct Stretch {
    int64_t begin_ms = 0;
    int64_t end_ms = 0;
    int64_t offset_ms = 0;
    int32_t first_day = 0;
  };
  [[nodiscard]] const Stretch& StretchAt(int64_t ms) const;

  std::shared_ptr<const Zone> zone_;  // null: UTC
  mutable Stretch cached_;
};

}  // namespace heartbeatd
