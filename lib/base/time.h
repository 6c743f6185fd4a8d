// Two kinds of time that must never mix: what an event says (EventTime) and what this machine's
// clock says (WallTime). Both are milliseconds since the Unix epoch, UTC.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace heartbeatd {

using Duration = std::chrono::milliseconds;

template <typename Tag>
class Instant {
 public:
  constexpr Instant() = default;
  constexpr explicit Instant(int64_t ms) : ms_(ms) {}

  [[nodiscard]] constexpr int64_t ms() const { return ms_; }
  constexpr auto operator<=>(const Instant&) const = default;

  // "Never": later than everything. Adding to it or subtracting from it keeps it.
  static constexpr Instant Never() { return Instant(std::numeric_limits<int64_t>::max()); }
  // "Before everything".
  static constexpr Instant Min() { return Instant(std::numeric_limits<int64_t>::min()); }

  // Saturates at Never() and Min().
  friend constexpr Instant operator+(Instant t, Duration d) {
    if (t == Never() || t == Min()) return t;
    int64_t out = 0;
    if (__builtin_add_overflow(t.ms_, int64_t{d.count()}, &out))
      return d.count() > 0 ? Never() : Min();
    return Instant(out);
  }
  friend constexpr Instant operator-(Instant t, Duration d) { return t + (-d); }
  // Saturates too. Both should be finite.
  friend constexpr Duration operator-(Instant a, Instant b) {
    int64_t out = 0;
    if (__builtin_sub_overflow(a.ms_, b.ms_, &out))
      return a.ms_ > 0 ? Duration::max() : Duration::min();
    return Duration(out);
  }

 private:
  int64_t ms_ = 0;
};

using EventTime = Instant<struct EventTimeTag>;
using WallTime = Instant<struct WallTimeTag>;

// The event time that a wall moment corresponds to: the only bridge between the two.
constexpr EventTime AsEventTime(WallTime t) { return EventTime(t.ms()); }

inline constexpr int64_t kMsPerDay = 86'400'000;

// Years that an event may carry; beyond them arithmetic in milliseconds and calendars stops being
// safe.
inline constexpr EventTime kEventTimeMin{-2'208'988'800'000};  // 1900-01-01
inline constexpr EventTime kEventTimeMax{32'503'680'000'000};  // 3000-01-01

// A million years around the epoch: all that is computed from events stays far within, and its days
// fit in 32 bits. A stored time beyond, but for Never() and Min(), can only come from broken bytes:
// it is refused where it is read, so that arithmetic need not care.
inline constexpr int64_t kReachMs = int64_t{1} << 55;
constexpr bool IsWithinReach(EventTime t) {
  return (-kReachMs <= t.ms() && t.ms() <= kReachMs) || t == EventTime::Never() ||
         t == EventTime::Min();
}

// RFC 3339 with seconds, optional fraction (cut to milliseconds) and a zone ("Z" or "+hh:mm").
// Empty for anything else.
std::optional<EventTime> ParseRfc3339(std::string_view text);

// "2026-03-01T09:00:00Z", with ".mmm" only when the milliseconds are not zero. `t` must lie within
// kEventTimeMin..kEventTimeMax, or be Never(), which prints as "never".
std::string FormatRfc3339(EventTime t);

}  // namespace heartbeatd
